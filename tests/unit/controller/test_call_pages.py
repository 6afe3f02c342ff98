"""Pages of calls: every call once, the oldest first, whatever comes and goes between two pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.virtual_time import LoopClock
from voicefleet.controller.calls.snapshots import Call, Snapshot
from voicefleet.controller.http.call_pages import Cursor, page
from voicefleet.controller.http.reads import ReadBudget

pytestmark = pytest.mark.unit

ROOMS = st.dictionaries(st.tuples(st.sampled_from("abc"), st.text(max_size=3)), st.integers(0, 5), max_size=30)


def snapshots(joined: dict[tuple[str, str], int]) -> dict[str, Snapshot]:
    found = {}
    for region in "bac":
        calls = [Call(room, at, None, None) for (where, room), at in joined.items() if where == region]
        found[region] = Snapshot(10, tuple(sorted(calls, key=lambda c: (c.joined_ms, c.room))), ())
    return found


@given(before=ROOMS, ended=st.sets(st.integers(0, 29)), came=ROOMS, limit=st.integers(1, 7))
def test_whoever_follows_the_pages_sees_every_call_that_stays_once(
    before: dict[tuple[str, str], int], ended: set[int], came: dict[tuple[str, str], int], limit: int
) -> None:
    seen: list[tuple[str, str]] = []
    stays = {key: at for n, (key, at) in enumerate(before.items()) if n not in ended}
    # They come while we read, so they joined later than whoever was there.
    after = stays | {key: at + 6 for key, at in came.items() if key not in before}
    now, cursor = before, None
    while True:
        found = page(snapshots(now), limit, cursor)
        seen += [(call.region, call.room) for call in found.calls]
        assert len(found.calls) == limit or found.next is None
        if found.next is None:
            break
        now, cursor = after, Cursor.decode(found.next)
    assert len(seen) == len(set(seen))
    assert set(stays) <= set(seen)
    order = [(before | after)[key] for key in seen]
    assert order == sorted(order)


@given(st.builds(Cursor, st.integers(0, 2**53), st.text(max_size=9), st.text(max_size=40)))
def test_a_cursor_is_read_as_it_was_written(cursor: Cursor) -> None:
    assert Cursor.decode(cursor.encode()) == cursor


@pytest.mark.parametrize("text", ["", "x", "!", "W10", "bnVsbA", "WzEsMiwzXQ", "WyJhIiwiYiIsImMiXQ", "é", "W" * 2000])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        Cursor.decode(text)


async def test_a_budget_is_spent_and_fills_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(LoopClock):
        now_s = 100.0

        def monotonic(self) -> float:
            return self.now_s

    clock = Clock()
    budget = ReadBudget(clock, per_minute=60)
    assert [budget.spend("one", 20) for _ in range(3)] == [None] * 3
    assert budget.spend("one", 5) == pytest.approx(5.0)
    assert budget.spend("other") is None
    clock.now_s += 5
    assert budget.spend("one", 5) is None
    assert budget.spend("one") == pytest.approx(1.0)
