"""Guardrails: bounds applied to what a policy needs, one pure function each, in the order of `GUARDRAILS`.

A guardrail takes the proposal so far and the context of the step, and returns the proposal changed or as it was. Those
of `RAISE` decide how many workers are wanted. Those of `LIMIT` decide what of that is asked for now, and see the starts
that it would take. The guardrail that changed the number last gives the decision its reason.

A new guardrail is a function here, in `RAISE` or `LIMIT`, and a reason why it stands where it stands in
`tests/unit/scaling/test_guardrails.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from voicefleet.scaling.decision import Reason
from voicefleet.scaling.observation import PoolObservation, SupplyState, Worker
from voicefleet.scaling.policies.policy import Policy
from voicefleet.scaling.state import Replacements, State, Window

LEARN_S = 60.0
"""As long as the shortest time constant of the arrivals: then it can tell a quiet pool from one it has not seen."""
UP_RATIO, UP_LEAST = 1.0, 10
DOWN_RATIO, DOWN_LEAST = 0.1, 5
MAX_REPLACEMENTS = 3
"""In a row, without any worker of the pool having become ready meanwhile: more of the same will not help."""
_LATE_Z = 2.576
"""99.5 % of the starts seen were faster."""
_LATE_RATIO = 0.2


@dataclass(frozen=True, slots=True)
class Proposal:
    """The decision as far as it has come.

    Attributes:
        workers: to have.
        reason: what that number comes from; `said` says it in numbers.
        state: what the next step starts from.
        sure: to have by the calls that are known, without what is kept only because something is unknown.
        wanted: to have before the limits.
        recent_peak: highest need within the scale-down delay.
        starts: most workers that may be started for it now; None: no limit of its own.
        may_shrink: whether workers may be given up.
        replace: workers that never got ready in time and are to be replaced.
        notes: what else there is to say.
    """

    workers: int
    reason: Reason
    state: State
    sure: int = 0
    wanted: int = 0
    recent_peak: int = 0
    starts: int | None = None
    may_shrink: bool = True
    replace: tuple[str, ...] = ()
    said: str = ""
    notes: tuple[str, ...] = ()

    def starts_needed(self, observation: PoolObservation) -> int:
        """Workers that would have to be started for it: those that drain and can come back need no start."""
        return max(0, self.workers - observation.supply - sum(map(can_return, observation.others)))


@dataclass(frozen=True, slots=True)
class Context:
    """What every guardrail may look at. `need` is None when the policy cannot tell."""

    observation: PoolObservation
    policy: Policy
    need: int | None
    last: int | None

    @property
    def known(self) -> bool:
        """Everything was read, and the policy could tell."""
        return self.need is not None and self.observation.complete

    @property
    def kept(self) -> int:
        """What must not be undercut: while something is unknown, what was wanted last and what serves calls now."""
        return 0 if self.known else max(self.last or 0, self.observation.supply)


Guardrail = Callable[[Proposal, Context], Proposal]


def can_return(worker: Worker) -> bool:
    """It is told to take no calls, and can be told otherwise: it has its machine."""
    return worker.cordoned and worker.state in (SupplyState.DRAINING, SupplyState.READY)


def at_least_scheduled(p: Proposal, c: Context) -> Proposal:
    """Never below what the pool's schedule asks for at this time of the week."""
    floor = c.observation.floor
    if floor <= p.workers:
        return p
    return replace(p, workers=floor, sure=floor, reason=Reason.SCHEDULE, said=f"the schedule asks for {floor}")


def keep_when_unknown(p: Proposal, c: Context) -> Proposal:
    """A failed read is not zero: never less than was wanted last, never less than what serves calls."""
    return p if p.workers >= c.kept else replace(p, workers=c.kept)


def delay_scale_down(p: Proposal, c: Context) -> Proposal:
    """Scale down only to the highest need within the scale-down delay, for policies that leave this to us.

    Invariant: the result is never below the need, and equals the maximum of every need within the delay.
    """
    spec = c.observation.spec
    delay_s = spec.scale_down_delay_s if c.policy.delays_scale_down else 0.0
    need = min(p.workers, spec.max_workers)
    window = with_need(p.state.window, need, c.observation.now_s, delay_s)
    peak = window[0][1]
    p = replace(p, recent_peak=peak, state=replace(p.state, window=window))
    if peak <= p.workers:
        return p
    said = f"{peak} kept, the highest need of the last {spec.scale_down_delay_s:.0f} s"
    return replace(p, workers=peak, reason=Reason.SCALE_DOWN_DELAY, said=said)


def with_need(window: Window, need: int, now_s: float, delay_s: float) -> Window:
    """`window` with one more need, and without those that are over; the first one is the highest."""
    return (*((at, n) for at, n in window if now_s - at <= delay_s and n > need), (now_s, need))


def keep_for_new_leader(p: Proposal, c: Context) -> Proposal:
    """A controller that just began knows nothing: a policy that forecasts keeps what it found until it has learned."""
    state, observation = p.state, c.observation
    if not c.policy.forecasts or observation.now_s - state.since_s >= LEARN_S:
        return p
    found = min(state.found, observation.spec.max_workers)
    p = replace(p, sure=max(p.sure, found))
    if found <= p.workers:
        return p
    return replace(p, workers=found, reason=Reason.LEADER, said=f"{found} kept while a new leader learns")


def replace_late_starts(p: Proposal, c: Context) -> Proposal:
    """A worker that should be ready by now is not counted on, and another is asked for in its place.

    At most a fifth of the pool, and at least one: if every start fails, more of the same does not help.
    """
    observation = c.observation
    if not (observation.others and c.policy.forecasts and c.need is not None):
        return p
    ages = [w.age_s for w in observation.others if w.state is SupplyState.STARTING and not w.stuck]
    if not ages:
        return p
    late_s = p.state.learned.starts.quantiles((_LATE_Z,))[0]
    late = min(sum(age > late_s for age in ages), max(1, math.ceil(_LATE_RATIO * observation.supply)))
    if not late:
        return p
    return replace(
        p,
        sure=p.sure + late,
        # What is kept while something is unknown has those not counted on in it already.
        workers=p.workers + late if c.known else max(p.workers, p.sure + late),
        reason=Reason.OVERDUE,
        said="",
        notes=(*p.notes, f"{late} starting for longer than usual, not counted on"),
    )


def limit_rate(p: Proposal, c: Context) -> Proposal:
    """Only so many more or fewer in one decision: one wrong number must not empty a pool, or flood it.

    At most twice as many or ten more, at most a tenth or five fewer. What callers need at once is not held back, and
    what is kept is kept.
    """
    if c.need is None:
        return p
    supply, calls = c.observation.supply, c.observation.least_calls
    most = supply + max(UP_LEAST, math.ceil(UP_RATIO * supply))
    least = supply - max(DOWN_LEAST, math.floor(DOWN_RATIO * supply))
    serving = 0 if calls is None else -(-calls // c.observation.spec.slots)
    reach = min(max(p.workers, least), most)
    workers = max(reach, min(p.wanted, serving), c.kept)
    if reach == p.workers:
        return p if workers == p.workers else replace(p, workers=workers)
    return replace(p, workers=workers, reason=Reason.RATE, said=f"{p.wanted} wanted, {workers} in one go")


def wait_for_machines(p: Proposal, c: Context) -> Proposal:
    """While there is no machine for the workers asked for, no start is added: it would only make the queue longer."""
    observation = c.observation
    stuck = sum(w.stuck for w in observation.others)
    if not stuck:
        return p
    said = f"no machine for {stuck} of {observation.supply} workers"
    more = p.starts_needed(observation)
    if not more:
        return replace(p, notes=(*p.notes, said))
    notes = (*p.notes, f"{said}: {more} more are not asked for")
    return replace(p, workers=p.workers - more, reason=Reason.UNSCHEDULABLE, said="", notes=notes)


def start_nothing_in_vain(p: Proposal, c: Context) -> Proposal:
    """While a worker could not register, none is started: it would only end again. What is wanted stays as it is."""
    if c.observation.can_register:
        return p
    more = p.starts_needed(c.observation)
    return replace(p, starts=0, notes=(*p.notes, f"Redis is away: {more} starts wait for it") if more else p.notes)


def within_bounds(p: Proposal, c: Context) -> Proposal:
    """Never below the pool's minimum, never above its maximum."""
    least, most = c.observation.spec.min_workers, c.observation.spec.max_workers
    if p.workers < least:
        return replace(p, workers=least, reason=Reason.MINIMUM, said=f"the least allowed is {least}")
    if p.workers > most:
        said = f"{p.wanted} wanted, the most allowed is {most}"
        return replace(p, workers=most, reason=Reason.MAXIMUM, said=said)
    return p


def give_up_nothing_unknown(p: Proposal, c: Context) -> Proposal:
    """With anything unknown nothing is given up; the pool grows only for calls that are there for sure."""
    if c.known:
        return p
    observation, n = c.observation, p.workers
    if observation.partial and c.need is not None and p.sure >= n > observation.spec.min_workers:
        said = f"not all calls are known: {n} for those that are there for sure, and nothing is given up"
        return replace(p, may_shrink=False, reason=Reason.PARTIAL, said=said)
    said = f"something is unknown, so {n} workers are kept"
    return replace(p, may_shrink=False, reason=Reason.UNKNOWN, said=said)


def replace_overdue(p: Proposal, c: Context) -> Proposal:
    """A worker that never gets ready is replaced, one at a time and a bounded number of times in a row."""
    observation, past = c.observation, p.state.replacements
    now_s, wait_s, last_s = observation.now_s, observation.start_timeout_s, past.last_s
    if last_s is not None:
        since_s = now_s - last_s
        if any(w.state is SupplyState.READY and w.age_s <= since_s for w in observation.workers):
            past = Replacements()  # one that was started since the last replacement made it
            p = replace(p, state=replace(p.state, replacements=past))
    overdue = observation.overdue if observation.others else ()
    if not overdue:
        return p
    said = f"{', '.join(w.id for w in overdue)} not ready after {wait_s:.0f} s"
    if past.count >= MAX_REPLACEMENTS:
        return replace(p, notes=(*p.notes, f"{said}; gave up replacing after {past.count} tries"))
    # Each try gets the whole start time before the next one.
    if not observation.complete or (past.last_s is not None and now_s - past.last_s < wait_s):
        return replace(p, notes=(*p.notes, said))
    victim = overdue[0].id
    return replace(
        p,
        replace=(victim,),
        state=replace(p.state, replacements=Replacements(past.count + 1, now_s)),
        notes=(*p.notes, f"{said}; replacing {victim}"),
    )


RAISE: tuple[Guardrail, ...] = (at_least_scheduled, keep_when_unknown, delay_scale_down, keep_for_new_leader)
LIMIT: tuple[Guardrail, ...] = (
    replace_late_starts,
    limit_rate,
    wait_for_machines,
    within_bounds,
    give_up_nothing_unknown,
    replace_overdue,
    start_nothing_in_vain,
)
GUARDRAILS: tuple[Guardrail, ...] = (*RAISE, *LIMIT)
