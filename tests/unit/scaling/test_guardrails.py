"""Guardrails, each by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.contract.pools import PoolSpec
from voicefleet.scaling import PoolObservation, Reason, SupplyState, Worker
from voicefleet.scaling.guardrails.bounds import bound
from voicefleet.scaling.guardrails.hold import Window, hold
from voicefleet.scaling.guardrails.replace import MAX_REPLACEMENTS, Replacements, replace
from voicefleet.scaling.guardrails.unknown import hold_unknown

pytestmark = pytest.mark.unit

SPEC = PoolSpec(region="eu", min_workers=1, max_workers=5, slots=4, buffer=2, scale_down_delay_s=60)


@given(
    st.lists(st.tuples(st.floats(0, 50), st.integers(0, 20)), min_size=1, max_size=40),
    st.floats(0, 200),
)
def test_hold_is_the_maximum_of_every_need_within_the_time(
    steps: list[tuple[float, int]], scale_down_delay_s: float
) -> None:
    window: Window = ()
    seen: list[tuple[float, int]] = []
    now = 0.0
    for pause, need in steps:
        now += pause
        seen.append((now, need))
        window, held = hold(window, need, now, scale_down_delay_s)
        assert held == max(n for at, n in seen if now - at <= scale_down_delay_s)
        assert len(window) <= len({n for _, n in seen})


@pytest.mark.parametrize(
    ("wanted", "result", "reason"), [(0, 1, Reason.MINIMUM), (1, 1, None), (5, 5, None), (6, 5, Reason.MAXIMUM)]
)
def test_bounds(wanted: int, result: int, reason: Reason | None) -> None:
    assert bound(wanted, SPEC) == (result, reason)


def test_unknown_keeps_the_larger_of_before_and_now() -> None:
    assert hold_unknown(None, 3) == 3
    assert hold_unknown(4, 3) == 4
    assert hold_unknown(2, 3) == 3


def wedged(now_s: float, *, ready_age_s: float | None = None, complete: bool = True) -> PoolObservation:
    workers = [Worker("eu-1", SupplyState.STARTING, 4, 0, age_s=500)]
    if ready_age_s is not None:
        workers.append(Worker("eu-2", SupplyState.READY, 4, 0, age_s=ready_age_s))
    return PoolObservation(SPEC, now_s, tuple(workers), 0, 0, 0, complete, start_timeout_s=100)


def test_a_wedged_worker_is_replaced_a_bounded_number_of_times() -> None:
    learned, now, replaced = Replacements(), 1000.0, 0
    for _ in range(2000):
        learned, victims, said = replace(learned, wedged(now))
        assert "eu-1 not ready after 100 s" in said
        replaced += len(victims)
        now += 1
    assert replaced == MAX_REPLACEMENTS
    assert "gave up" in said


def test_a_worker_that_made_it_resets_the_count() -> None:
    learned = Replacements(count=MAX_REPLACEMENTS, last_s=1000)
    learned, victims, _ = replace(learned, wedged(1200, ready_age_s=500))
    assert victims == ()  # that one was there before the last replacement
    learned, victims, _ = replace(learned, wedged(1200, ready_age_s=50))
    assert victims == ("eu-1",)


def test_nobody_is_replaced_on_unknown_data() -> None:
    assert replace(Replacements(), wedged(1000, complete=False))[1] == ()
