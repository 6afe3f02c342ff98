"""Decisions, step by step, in virtual time."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicefleet.contract.pools import PoolSpec
from voicefleet.scaling import PoolObservation, Reason, SupplyState, Worker, initial_state, step

pytestmark = pytest.mark.unit

SPEC = PoolSpec(region="eu", min_workers=1, max_workers=5, slots=4, buffer=2, scale_down_delay_s=60)


def pool(
    now_s: float, live: int | None = 0, waiting: int | None = 0, joining: int | None = 0, *, ready: int = 1
) -> PoolObservation:
    workers = tuple(Worker(f"eu-{n}", SupplyState.READY, SPEC.slots, 0) for n in range(ready))
    return PoolObservation(SPEC, now_s, workers, live, waiting, joining, complete=live is not None)


def test_waiting_and_joining_calls_are_demand() -> None:
    _, decision = step(initial_state(0, 1), pool(1, live=4, waiting=2, joining=1))
    assert (decision.desired, decision.reason) == (3, Reason.CALLS)
    assert decision.detail == "4 live + 2 waiting + 1 joining + 2 buffer = 9 slots, 4 a worker: 3 workers"
    assert decision.inputs.waiting == 2


def test_a_full_pool_with_waiting_calls_keeps_growing() -> None:
    """The lock of formulas with a tolerance: a full fleet must not look satisfied."""
    spec = dataclasses.replace(SPEC, max_workers=50)
    observation = dataclasses.replace(pool(1, live=160, waiting=1, ready=40), spec=spec)
    assert step(initial_state(0, 40), observation)[1].desired == 41


def test_scale_down_waits_for_the_scale_down_delay() -> None:
    state, decision = step(initial_state(0, 1), pool(0, live=14))
    assert decision.desired == 4
    state, decision = step(state, pool(59, live=0, ready=4))
    assert (decision.desired, decision.reason) == (4, Reason.SCALE_DOWN_DELAY)
    assert "4 kept, the highest need of the last 60 s" in decision.detail
    state, decision = step(state, pool(60.5, live=0, ready=4))
    assert (decision.desired, decision.reason) == (1, Reason.CALLS)


def test_a_new_controller_starts_with_what_is_there() -> None:
    state, decision = step(initial_state(0, 4), pool(1, live=0, ready=4))
    assert (decision.desired, decision.reason) == (4, Reason.SCALE_DOWN_DELAY)
    assert step(state, pool(61.5, live=0, ready=4))[1].desired == 1


def test_the_maximum_is_said() -> None:
    _, decision = step(initial_state(0, 1), pool(1, live=100))
    assert (decision.desired, decision.reason) == (5, Reason.MAXIMUM)
    assert "26 wanted, the most allowed is 5" in decision.detail


def test_unknown_is_not_zero() -> None:
    state, _ = step(initial_state(0, 1), pool(0, live=14))
    state, decision = step(state, pool(1000, live=None, ready=4))
    assert (decision.desired, decision.reason, decision.may_shrink) == (4, Reason.UNKNOWN, False)
    # What was kept while nothing was known is held once more after the outage.
    _, decision = step(state, pool(1001, live=0, ready=4))
    assert (decision.desired, decision.reason) == (4, Reason.SCALE_DOWN_DELAY)


def test_unknown_at_the_very_first_step_keeps_what_is_there() -> None:
    assert step(initial_state(0, 3), pool(1, live=None, ready=3))[1].desired == 3
    assert step(initial_state(0, 0), pool(1, live=None, ready=0))[1].desired == 1


counts = st.none() | st.integers(0, 40)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 30), counts, counts, counts, st.integers(0, 8), st.booleans()), max_size=30),
    st.integers(0, 3),
    st.integers(0, 5),
)
def test_always_within_bounds_and_never_less_on_unknown_data(
    steps: list[tuple[float, int | None, int | None, int | None, int, bool]], least: int, more: int
) -> None:
    spec = dataclasses.replace(SPEC, min_workers=least, max_workers=least + more)
    state, now = initial_state(0, 0), 0.0
    last: int | None = None
    for pause, live, waiting, joining, ready, complete in steps:
        now += pause
        observation = dataclasses.replace(pool(now, live, waiting, joining, ready=ready), spec=spec, complete=complete)
        state, decision = step(state, observation)
        assert spec.min_workers <= decision.desired <= spec.max_workers
        known = complete and None not in (live, waiting, joining)
        assert decision.may_shrink == known
        assert (decision.reason is Reason.UNKNOWN) == (not known)
        if not known:
            assert last is None or decision.desired >= last
            assert decision.desired >= min(ready, spec.max_workers)
        last = decision.desired
