"""When what Redis shows can be taken for what is; and how often a call is dispatched."""

from __future__ import annotations

import pytest

from voicefleet.contract.calls import CallOrder, DispatchMetadata
from voicefleet.controller.calls.dispatch import pause_ms
from voicefleet.controller.calls.dispatch_requests import redispatch_metadata
from voicefleet.controller.regions.outages import Outages

pytestmark = pytest.mark.unit


def looks(outages: Outages, begin_s: float, end_s: float) -> None:
    at_s = begin_s
    while at_s <= end_s:
        outages.well(at_s)
        at_s += 0.25


def test_it_settles_after_three_seconds_of_good_looks() -> None:
    outages = Outages()
    assert not outages.settled(100.0)
    looks(outages, 100.0, 102.75)
    assert not outages.settled(102.75)
    looks(outages, 103.0, 103.0)
    assert outages.settled(103.0)


def test_an_outage_counts_from_the_question_that_got_no_answer() -> None:
    outages = Outages()
    looks(outages, 0.0, 5.0)
    outages.away(5.25, 7.25)
    outages.away(7.25, 9.25)
    assert outages.away_for_s(9.25) == 4.0
    assert outages.well_for_s(9.25) == 0.0
    outages.well(9.5)
    assert outages.away_for_s(9.5) == 0.0
    assert not outages.settled(12.0)


def test_a_standstill_of_ours_and_another_redis_start_it_anew() -> None:
    outages = Outages()
    looks(outages, 0.0, 5.0)
    outages.well(6.75)
    assert outages.well_for_s(6.75) == 0.0
    looks(outages, 7.0, 12.0)
    outages.restarted(12.1)
    assert not outages.settled(15.0)
    looks(outages, 12.25, 15.25)
    assert outages.settled(15.25)


def test_dispatches_slow_down_after_the_fourth() -> None:
    assert [pause_ms(n, unreliable=False) for n in range(1, 8)] == [1500, 1500, 1500, 1500, 3000, 4000, 4000]
    assert [pause_ms(n, unreliable=True) for n in range(1, 8)] == [500, 500, 500, 500, 1000, 2000, 4000]
    assert pause_ms(1_000, unreliable=True) == 4000


def test_an_order_is_repeated_as_it_came() -> None:
    first = DispatchMetadata(CallOrder("fast", "order 7"), 0, {"mine": 1})
    repeated = redispatch_metadata((first.encode(), DispatchMetadata(CallOrder("other"), attempt=3).encode()), 4)
    assert repeated == DispatchMetadata(CallOrder("fast", "order 7"), 4, {"mine": 1})
    assert redispatch_metadata((), 2) == DispatchMetadata(attempt=2)
    assert redispatch_metadata(("a front end's own text",), 1) == DispatchMetadata(
        CallOrder(metadata="a front end's own text"), attempt=1
    )
