"""Guardrails, each by itself, and their order."""

from __future__ import annotations

import dataclasses
import inspect
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.contract.pools import PoolSpec
from voicefleet.scaling import Decision, PoolObservation, Reason, State, SupplyState, Worker, guardrails, plan
from voicefleet.scaling.guardrails import GUARDRAILS, LIMIT, MAX_REPLACEMENTS, RAISE, Context, Guardrail, Proposal
from voicefleet.scaling.policies import POLICIES
from voicefleet.scaling.state import Replacements, Window

pytestmark = pytest.mark.unit

SPEC = PoolSpec(region="eu", min_workers=1, max_workers=5, slots=4, buffer=2, scale_down_delay_s=60)


def pool(*workers: Worker, spec: PoolSpec = SPEC, now_s: float = 1000.0, **more: object) -> PoolObservation:
    return dataclasses.replace(PoolObservation(spec, now_s, workers, 0, 0, 0, True), **more)  # type: ignore[arg-type]


def ready(count: int) -> tuple[Worker, ...]:
    return tuple(Worker(f"r{n}", SupplyState.READY, 4, 0) for n in range(count))


def starting(count: int, age_s: float = 1.0, *, stuck: bool = False) -> tuple[Worker, ...]:
    return tuple(Worker(f"s{n}", SupplyState.STARTING, 4, 0, age_s=age_s, stuck=stuck) for n in range(count))


def context(seen: PoolObservation, policy: str = "buffer", *, need: int | None = 0, last: int | None = None) -> Context:
    return Context(seen, POLICIES[policy], need, last)


def proposal(workers: int, state: State | None = None, **more: object) -> Proposal:
    plain = Proposal(workers, Reason.CALLS, state or State(), sure=workers, wanted=workers)
    return dataclasses.replace(plain, **more)  # type: ignore[arg-type]


def test_while_a_worker_could_not_register_none_is_started_and_what_is_wanted_stays() -> None:
    seen = pool(*ready(1), can_register=False)
    held = guardrails.start_nothing_in_vain(proposal(3), context(seen))
    assert (held.workers, held.starts, held.notes) == (3, 0, ("Redis is away: 2 starts wait for it",))
    assert guardrails.start_nothing_in_vain(proposal(1), context(seen)).notes == ()
    free = proposal(3)
    assert guardrails.start_nothing_in_vain(free, context(pool(*ready(1)))) == free


# ---- the registry

ORDER: list[tuple[Guardrail, Guardrail, str]] = [
    (guardrails.at_least_scheduled, guardrails.keep_when_unknown, "what is kept is compared with all that is asked"),
    (guardrails.keep_when_unknown, guardrails.delay_scale_down, "what was kept in an outage is a need for a while"),
    (guardrails.delay_scale_down, guardrails.keep_for_new_leader, "a leader's first minute is no need that lasts"),
    (guardrails.keep_for_new_leader, guardrails.replace_late_starts, "late starts come on top of what is wanted"),
    (guardrails.replace_late_starts, guardrails.limit_rate, "replacements are starts too: the rate limits all"),
    (guardrails.limit_rate, guardrails.wait_for_machines, "only starts that the rate allows wait for machines"),
    (guardrails.wait_for_machines, guardrails.within_bounds, "the bounds hold whatever else is said"),
    (guardrails.within_bounds, guardrails.give_up_nothing_unknown, "it judges and tells the number as it will be"),
    (guardrails.give_up_nothing_unknown, guardrails.replace_overdue, "a replacement changes no number"),
    (guardrails.replace_overdue, guardrails.start_nothing_in_vain, "it bounds the starts of all that was decided"),
]
"""Each two neighbours of `GUARDRAILS`, and why the first one comes first."""


def test_every_guardrail_is_registered_and_has_a_reason_for_its_place() -> None:
    functions = [
        f for _, f in inspect.getmembers(guardrails, inspect.isfunction) if f.__module__ == guardrails.__name__
    ]
    made_for_it = {
        f for f in functions if list(inspect.get_annotations(f).values()) == ["Proposal", "Context", "Proposal"]
    }
    assert made_for_it == set(GUARDRAILS)
    assert [(a, b) for a, b, _ in ORDER] == list(itertools.pairwise(GUARDRAILS))
    assert (*RAISE, *LIMIT) == GUARDRAILS
    assert all(reason for *_, reason in ORDER)


def run(order: tuple[Guardrail, ...], seen: PoolObservation, policy: str, need: int | None, state: State) -> Proposal:
    c = context(seen, policy, need=need, last=state.last)
    asked = need or 0
    p = Proposal(asked, Reason.CALLS, state, sure=asked, wanted=asked)
    for guardrail in order:
        p = guardrail(p, c)
    return p


BIG = dataclasses.replace(SPEC, max_workers=100)
NEW = State(since_s=990.0, found=9)
OLD = State(since_s=-1e6)
SWAPS: list[tuple[Guardrail, Guardrail, PoolObservation, str, int | None, State]] = [
    (
        guardrails.at_least_scheduled,
        guardrails.keep_when_unknown,
        pool(*ready(4), floor=3, complete=False),
        "buffer",
        1,
        OLD,
    ),
    # With the outage's number outside the window, the pool shrinks at once after it.
    (
        guardrails.keep_when_unknown,
        guardrails.delay_scale_down,
        pool(*ready(4), calls_live=None, complete=False),
        "buffer",
        None,
        OLD,
    ),
    (guardrails.delay_scale_down, guardrails.keep_for_new_leader, pool(*ready(9), spec=BIG), "predictive", 2, NEW),
    (
        guardrails.keep_for_new_leader,
        guardrails.replace_late_starts,
        pool(*starting(5, 500.0), spec=BIG),
        "predictive",
        2,
        NEW,
    ),
    (
        guardrails.replace_late_starts,
        guardrails.limit_rate,
        pool(*starting(9, 500.0), *ready(1), spec=BIG),
        "predictive",
        20,
        OLD,
    ),
    (
        guardrails.limit_rate,
        guardrails.wait_for_machines,
        pool(*starting(1, stuck=True), *ready(1), spec=BIG),
        "buffer",
        90,
        OLD,
    ),
    (
        guardrails.wait_for_machines,
        guardrails.within_bounds,
        pool(*starting(1, stuck=True), *ready(1)),
        "buffer",
        50,
        OLD,
    ),
    (
        guardrails.within_bounds,
        guardrails.give_up_nothing_unknown,
        pool(*ready(9), calls_live=None, complete=False),
        "buffer",
        None,
        OLD,
    ),
]
"""Two guardrails, and a step that ends differently when they change places. (The last two of all may.)"""


@pytest.mark.parametrize(
    ("first", "second", "seen", "policy", "need", "state"), SWAPS, ids=lambda v: getattr(v, "__name__", "")
)
def test_the_order_matters(
    first: Guardrail, second: Guardrail, seen: PoolObservation, policy: str, need: int | None, state: State
) -> None:
    swapped = tuple({first: second, second: first}.get(guardrail, guardrail) for guardrail in GUARDRAILS)
    as_it_is, otherwise = run(GUARDRAILS, seen, policy, need, state), run(swapped, seen, policy, need, state)
    told = [
        (p.workers, p.reason, p.said, p.notes, p.sure, p.recent_peak, p.state.window) for p in (as_it_is, otherwise)
    ]
    assert told[0] != told[1]


def test_a_guardrail_can_hold_back_starts() -> None:
    """It sees the starts that a number would take, and a limit of them reaches the plan."""
    back = Worker("d", SupplyState.DRAINING, 4, 1, cordoned=True, order_seen=True)
    seen = pool(*ready(1), back, spec=BIG)
    assert proposal(4).starts_needed(seen) == 2, "one comes back"
    assert plan(seen, Decision(4, Reason.CALLS, "", starts=1)).start == 1
    assert plan(seen, Decision(4, Reason.CALLS, "")).start == 2


# ---- each of them


@given(
    st.lists(st.tuples(st.floats(0, 50), st.integers(0, 20)), min_size=1, max_size=40),
    st.floats(0, 200),
)
def test_scale_down_only_to_the_maximum_of_every_need_within_the_delay(
    steps: list[tuple[float, int]], delay_s: float
) -> None:
    window: Window = ()
    needs: list[tuple[float, int]] = []
    now = 0.0
    for pause, need in steps:
        now += pause
        needs.append((now, need))
        window = guardrails.with_need(window, need, now, delay_s)
        assert window[0][1] == max(n for at, n in needs if now - at <= delay_s)
        assert len(window) <= len({n for _, n in needs})


def test_only_a_policy_that_leaves_it_to_us_is_delayed() -> None:
    state = State(window=((990.0, 4),))
    assert guardrails.delay_scale_down(proposal(1, state), context(pool())).workers == 4
    assert guardrails.delay_scale_down(proposal(1, state), context(pool(), "predictive")).workers == 1


@pytest.mark.parametrize(
    ("wanted", "result", "reason"),
    [(0, 1, Reason.MINIMUM), (1, 1, Reason.CALLS), (5, 5, Reason.CALLS), (6, 5, Reason.MAXIMUM)],
)
def test_bounds(wanted: int, result: int, reason: Reason) -> None:
    p = guardrails.within_bounds(proposal(wanted), context(pool()))
    assert (p.workers, p.reason) == (result, reason)


def test_the_schedule_is_a_least() -> None:
    seen = pool(floor=3)
    p = guardrails.at_least_scheduled(proposal(2), context(seen))
    assert (p.workers, p.sure, p.reason) == (3, 3, Reason.SCHEDULE)
    assert guardrails.at_least_scheduled(proposal(3), context(seen)).reason is Reason.CALLS


def test_unknown_keeps_the_larger_of_before_and_now() -> None:
    for last, kept in ((None, 3), (4, 4), (2, 3)):
        c = context(pool(*ready(3), complete=False), last=last)
        assert guardrails.keep_when_unknown(proposal(0), c).workers == kept
    assert guardrails.keep_when_unknown(proposal(0), context(pool(*ready(3)), last=4)).workers == 0


def test_a_new_leader_keeps_what_it_found_for_a_minute() -> None:
    for at_s, kept in ((49.9, 4), (60.1, 1)):
        state = State(since_s=1000.0 - at_s, found=4)
        assert guardrails.keep_for_new_leader(proposal(1, state), context(pool(), "predictive")).workers == kept
    new = State(since_s=1000.0, found=4)
    assert guardrails.keep_for_new_leader(proposal(1, new), context(pool())).workers == 1


def test_a_late_start_is_asked_for_again_for_a_fifth_of_the_pool_at_most() -> None:
    late = pool(*starting(10, 500.0), spec=BIG)
    p = guardrails.replace_late_starts(proposal(10), context(late, "predictive"))
    assert (p.workers, p.reason) == (12, Reason.OVERDUE)
    assert guardrails.replace_late_starts(proposal(10), context(late)).workers == 10, "it knows no start times"
    stuck = pool(*starting(10, 500.0, stuck=True), spec=BIG)
    assert guardrails.replace_late_starts(proposal(10), context(stuck, "predictive")).workers == 10


@pytest.mark.parametrize(
    ("supply", "wanted", "result"), [(1, 50, 11), (20, 50, 40), (20, 30, 30), (20, 1, 15), (80, 1, 72), (4, 0, 0)]
)
def test_the_rate_is_limited(supply: int, wanted: int, result: int) -> None:
    p = guardrails.limit_rate(proposal(wanted), context(pool(*ready(supply), spec=BIG)))
    assert (p.workers, p.reason is Reason.RATE) == (result, result != wanted)


def test_the_rate_does_not_hold_back_what_callers_need_now() -> None:
    seen = pool(*ready(1), spec=BIG, calls_waiting=120)
    assert guardrails.limit_rate(proposal(50), context(seen)).workers == 30


def test_no_start_is_added_while_there_is_no_machine() -> None:
    back = Worker("d", SupplyState.DRAINING, 4, 1, cordoned=True, order_seen=True)
    seen = pool(*ready(1), *starting(1, stuck=True), back, spec=BIG)
    p = guardrails.wait_for_machines(proposal(9), context(seen))
    assert (p.workers, p.reason) == (3, Reason.UNSCHEDULABLE)
    assert "6 more are not asked for" in p.notes[0]
    assert guardrails.wait_for_machines(proposal(3), context(seen)).reason is Reason.CALLS


def wedged(now_s: float, *, ready_age_s: float | None = None, complete: bool = True) -> Context:
    workers = [Worker("eu-1", SupplyState.STARTING, 4, 0, age_s=500)]
    if ready_age_s is not None:
        workers.append(Worker("eu-2", SupplyState.READY, 4, 0, age_s=ready_age_s))
    return context(PoolObservation(SPEC, now_s, tuple(workers), 0, 0, 0, complete, start_timeout_s=100))


def test_a_wedged_worker_is_replaced_a_bounded_number_of_times() -> None:
    state, now, replaced = State(), 1000.0, 0
    for _ in range(2000):
        p = guardrails.replace_overdue(proposal(1, state), wedged(now))
        state = p.state
        assert "eu-1 not ready after 100 s" in p.notes[0]
        replaced += len(p.replace)
        now += 1
    assert replaced == MAX_REPLACEMENTS
    assert "gave up" in p.notes[0]


def test_a_worker_that_made_it_resets_the_count() -> None:
    p = proposal(1, State(replacements=Replacements(count=MAX_REPLACEMENTS, last_s=1000)))
    p = guardrails.replace_overdue(p, wedged(1200, ready_age_s=500))
    assert p.replace == ()  # that one was there before the last replacement
    assert guardrails.replace_overdue(p, wedged(1200, ready_age_s=50)).replace == ("eu-1",)


def test_nobody_is_replaced_on_unknown_data() -> None:
    assert guardrails.replace_overdue(proposal(1), wedged(1000, complete=False)).replace == ()
