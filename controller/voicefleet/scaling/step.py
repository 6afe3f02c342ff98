"""One step: observation in, decision out. The state between steps is a value too."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from voicefleet.scaling.decision import Decision, Reason
from voicefleet.scaling.guardrails.bounds import bound
from voicefleet.scaling.guardrails.hold import Window, hold
from voicefleet.scaling.guardrails.leader import keep_found
from voicefleet.scaling.guardrails.overdue import overdue
from voicefleet.scaling.guardrails.rate import limit_rate
from voicefleet.scaling.guardrails.replace import Replacements, replace
from voicefleet.scaling.guardrails.schedule import at_least_scheduled
from voicefleet.scaling.guardrails.unknown import hold_unknown
from voicefleet.scaling.guardrails.unschedulable import wait_for_machines
from voicefleet.scaling.observation import PoolObservation
from voicefleet.scaling.policies import POLICIES
from voicefleet.scaling.policy_state import PolicyState


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What one step leaves to the next."""

    last: int | None = None
    """What the last decision wanted."""
    window: Window = ()
    replacements: Replacements = field(default_factory=Replacements)
    learned: PolicyState = field(default_factory=PolicyState)
    since_s: float = 0.0
    found: int = 0
    """Workers there were when this controller began, at `since_s`."""


def initial_state(now_s: float, present: int, learned: PolicyState | None = None) -> State:
    """A careful start: a new controller knows nothing, so the workers that are there count as a need just seen.

    Args:
        learned: what a leader before learned, if it left something.
    """
    return State(
        last=present, window=((now_s, present),), learned=learned or PolicyState(), since_s=now_s, found=present
    )


def step(state: State, observation: PoolObservation) -> tuple[State, Decision]:
    """Decide for one pool at ``observation.now_s``.

    Invariants: the decision is within the pool's bounds; with anything unknown it is never below what serves calls
    now (within the bounds), never below what the same sure calls would get with everything known, and `may_shrink` is
    False; with everything known it is never below what the calls there are
    need (within the bounds), but for machines that are not there.
    """
    spec, now, supply = observation.spec, observation.now_s, observation.supply
    learned, need = POLICIES[spec.policy](state.learned, observation)
    counted = need.workers is not None
    known = counted and observation.complete
    floor = 0 if known else hold_unknown(state.last, supply)
    asked, scheduled = at_least_scheduled(need.workers or 0, observation.floor)
    raw = max(asked, floor)
    usual = Reason.FIXED if spec.policy == "fixed" else Reason.CALLS
    reason = scheduled or usual
    predictive = spec.policy == "predictive"
    # The predictive policy holds by its forecast; all it is given is time to learn.
    window, held = hold(
        state.window, min(raw, spec.max_workers), now, spec.scale_down_delay_s if spec.policy == "buffer" else 0.0
    )
    wanted = max(held, raw)
    if predictive:
        found = min(state.found, spec.max_workers)
        wanted = keep_found(wanted, found, state.since_s, now)
        asked = keep_found(asked, found, state.since_s, now)
    if wanted > raw:
        reason = Reason.LEADER if wanted > held else Reason.SCALE_DOWN_DELAY
    late = overdue(learned.starts, observation) if observation.others and counted and predictive else 0
    # What is kept while something is unknown has those not counted on in it already.
    aim = wanted + late if known else max(wanted, asked + late)
    reachable, hurried = limit_rate(aim, supply) if counted else (wanted, None)
    # What callers need at once is not held back, and what is kept is kept.
    reachable = max(reachable, min(wanted, _least(observation)), floor)
    possible, stuck, machines = wait_for_machines(reachable, observation)
    desired, bounded = bound(possible, spec)
    replacements, victims, overdue_said = replace(state.replacements, observation)
    reason = bounded or stuck or hurried or (Reason.OVERDUE if late else reason)
    if not known:
        grows = observation.partial and counted and asked + late >= desired > spec.min_workers
        reason = Reason.PARTIAL if grows else Reason.UNKNOWN
    decision = Decision(
        desired=desired,
        reason=reason,
        said=need.detail,
        inputs=dataclasses.replace(need.inputs, need=need.workers, recent_peak=held, supply=supply, wanted=wanted),
        may_shrink=known,
        replace=victims,
        notes=_notes(reason, observation, desired, wanted, late, machines, overdue_said),
    )
    return State(desired, window, replacements, learned, state.since_s, state.found), decision


def _least(observation: PoolObservation) -> int:
    """Workers that the calls there are need."""
    calls = observation.least_calls
    return 0 if calls is None else -(-calls // observation.spec.slots)


def _notes(
    reason: Reason, observation: PoolObservation, desired: int, wanted: int, late: int, machines: str, overdue_said: str
) -> tuple[str, ...]:
    said: str = ""
    spec = observation.spec
    match reason:
        case Reason.SCALE_DOWN_DELAY:
            said = f"{desired} kept, the highest need of the last {spec.scale_down_delay_s:.0f} s"
        case Reason.LEADER:
            said = f"{desired} kept while a new leader learns"
        case Reason.SCHEDULE:
            said = f"the schedule asks for {observation.floor}"
        case Reason.RATE:
            said = f"{wanted} wanted, {desired} in one go"
        case Reason.MINIMUM:
            said = f"the least allowed is {desired}"
        case Reason.MAXIMUM:
            said = f"{wanted} wanted, the most allowed is {desired}"
        case Reason.UNKNOWN:
            said = f"something is unknown, so {desired} workers are kept"
        case Reason.PARTIAL:
            said = f"not all calls are known: {desired} for those that are there for sure, and nothing is given up"
        case _:
            pass
    if not (said or late or machines or overdue_said):
        return ()
    counted = f"{late} starting for longer than usual, not counted on" if late else ""
    return tuple(text for text in (said, counted, machines, overdue_said) if text)
