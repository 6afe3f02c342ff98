"""Which calls move, and which workers hang."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.contract.claims import RENEWAL_OVERDUE_MS, Claim, Handoff
from voicefleet.contract.reports import WorkerReport
from voicefleet.controller.calls.handoff_plan import emptying, plan_moves
from voicefleet.controller.calls.handoffs import backoff_s
from voicefleet.controller.calls.snapshots import Call, Snapshot
from voicefleet.controller.pool.hung import hung
from voicefleet.controller.pool.worker_store import Reported

pytestmark = pytest.mark.unit

NOW = 1_000_000


def worker(
    name: str,
    *,
    state: str = "ready",
    slots: int = 4,
    live: int = 0,
    accepting: int = 0,
    rooms: Collection[str] = (),
    silent_s: float = 0.5,
) -> Reported:
    report = WorkerReport(name, "eu", state, slots, live, accepting, uptime_s=9.0, rooms=list(rooms))
    return Reported(report, silent_s, None)


def call(room: str, holder: str | None, *, joined: int = 0, renewed: int = NOW - 500, state: str = "live") -> Call:
    claim = Claim(holder, f"J-{room}", 1, state, renewed_ms=renewed) if holder else None
    return Call(room, joined, None if claim else float(joined), claim)


def moves(
    calls: Collection[Call],
    reports: Mapping[str, Reported],
    *,
    handoffs: Mapping[str, Handoff] | None = None,
    reserved_unjoined: int = 0,
    not_now: Collection[str] = (),
) -> list[str]:
    late = frozenset(c.room for c in calls if c.claim and NOW - c.claim.renewed_ms > RENEWAL_OVERDUE_MS)
    found = plan_moves(
        Snapshot(NOW, tuple(calls), (), late),
        reports,
        emptying(reports, well_for_s=99),
        handoffs or {},
        reserved_unjoined=reserved_unjoined,
        not_now=not_now,
    )
    return [move.room for move in found]


LEAVING = {"old": worker("old", state="draining", live=2), "new": worker("new", live=2)}
CALLS = (call("b", "old", joined=2), call("a", "old", joined=1), call("c", "new"))


def test_calls_of_a_draining_worker_move_the_oldest_first() -> None:
    assert moves(CALLS, LEAVING) == ["a", "b"]
    assert moves(CALLS, {"new": worker("new")}) == []
    assert moves(CALLS, {**LEAVING, "new": worker("new", live=3)}) == ["a"]


def test_slots_that_others_need_are_not_taken() -> None:
    assert moves((*CALLS, call("w", None)), LEAVING) == ["a"]
    assert moves(CALLS, LEAVING, reserved_unjoined=1) == ["a"]
    under_way = {"b": Handoff("J-b", "old", "wanted")}
    assert moves(CALLS, LEAVING, handoffs=under_way) == ["a"]
    assert moves(CALLS, {**LEAVING, "new": worker("new", live=3)}, handoffs=under_way) == []


@pytest.mark.parametrize("state", ["accepted", "ready"])
def test_a_successor_has_its_slot_before_its_worker_says_so(state: str) -> None:
    accepted = {"b": Handoff("J-b", "old", state, "J-n", "new")}

    def more(**new: Any) -> list[str]:
        return moves(CALLS, {**LEAVING, "new": worker("new", **new)}, handoffs=accepted)

    assert more(live=3) == []
    assert more(live=2, accepting=1, rooms=["b", "c", "d"]) == ["a"]
    assert more(live=2, accepting=1, rooms=["c", "d", "e"]) == [], "what it accepted is another call"
    assert more(live=3, rooms=["b", "c", "d"]) == ["a"]
    assert more(live=2, accepting=2, rooms=["b", "c"]) == []


def test_calls_that_cannot_move_now() -> None:
    assert moves(CALLS, LEAVING, not_now={"a"}) == ["b"]
    stalled = call("a", "old", renewed=NOW - 3_000)  # recovery's business
    joining = call("b", "old", state="accepted", renewed=0)
    assert moves((stalled, joining), LEAVING) == []


def test_a_main_process_that_hangs_is_emptied_if_others_report() -> None:
    silent, well = worker("a", silent_s=5.5), worker("b")
    assert emptying({"a": silent, "b": well}, well_for_s=9) == {"a"}
    assert emptying({"a": silent, "b": well}, well_for_s=4) == frozenset()  # Redis was away
    assert emptying({"a": silent, "b": silent}, well_for_s=9) == frozenset()  # nobody reports
    assert emptying({"a": worker("a", silent_s=4.0), "b": well}, well_for_s=9) == frozenset()


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6), st.integers(0, 6))
def test_never_more_than_there_is_room_for(free: int, leaving: int, waiting: int, reserved_unjoined: int) -> None:
    reports = {"old": worker("old", state="draining", slots=6, live=leaving), "new": worker("new", slots=free)}
    calls = [call(f"l{i}", "old") for i in range(leaving)] + [call(f"w{i}", None) for i in range(waiting)]
    found = moves(calls, reports, reserved_unjoined=reserved_unjoined)
    assert len(found) == min(leaving, max(0, free - waiting - reserved_unjoined))


def test_backoff() -> None:
    assert [backoff_s(n) for n in range(1, 7)] == [1, 2, 4, 8, 8, 8]


def test_a_hung_worker_is_ended_only_without_a_call() -> None:
    reports = {"a": worker("a", silent_s=10.5), "b": worker("b")}
    none, held = Snapshot(NOW, (), ()), Snapshot(NOW, (call("r", "a"),), ())
    assert hung(reports, none, well_for_s=60) == ["a"]
    assert hung(reports, held, well_for_s=60) == []
    assert hung(reports, none, well_for_s=9) == []
    assert hung({"a": reports["a"]}, none, well_for_s=60) == []  # nobody else reports: a fault of ours
    assert hung({**reports, "a": worker("a", silent_s=9.0)}, none, well_for_s=60) == []
