"""Whose participants are listed next, and how many rooms may be unknown before all are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.controller.ports import Room
from voicefleet.controller.rooms.rotation import FOREIGN_S, MOST_FAILED_S, Rotation

pytestmark = pytest.mark.unit


def rooms(*names: str) -> list[Room]:
    return [Room(name, f"RM_{name}") for name in names]


def names(due: list[Room]) -> list[str]:
    return [room.name for room in due]


def test_new_rooms_come_first_then_calls_never_looked_at_then_the_oldest_looks() -> None:
    rotation, there = Rotation(), rooms("old", "older", "call", "new")
    rotation.take_over(there, None)
    rotation.looked(there[1], 1.0, 0)
    rotation.looked(there[0], 2.0, 0)
    assert names(rotation.due(there, {"old", "older", "call"}, 3.0, 9)) == ["new", "call", "older", "old"]
    assert names(rotation.due(there, {"old", "older", "call"}, 3.0, 2)) == ["new", "call"]


@given(st.integers(1, 40), st.integers(1, 12))
def test_every_room_has_its_turn_within_as_many_turns_as_it_takes(count: int, most: int) -> None:
    rotation, there = Rotation(), rooms(*(f"r{n}" for n in range(count)))
    calls = {room.name for room in there}
    seen: list[str] = []
    for turn in range(2 * -(-count // most)):
        rotation.take_over(there, None)
        due = rotation.due(there, calls, float(turn), most)
        assert len(due) <= most
        for room in due:
            rotation.looked(room, float(turn), 0)
            seen.append(room.name)
        if turn + 1 == -(-count // most):
            assert set(seen) == calls
    assert max(seen.count(name) for name in calls) - min(seen.count(name) for name in calls) <= 1


def test_a_room_that_fails_is_asked_again_later_each_time() -> None:
    rotation, (room,) = Rotation(), rooms("stuck")
    rotation.take_over([room], None)
    asked, now_s = [], 0.0
    while now_s < 200.0:
        if rotation.due([room], set(), now_s, 9):
            asked.append(now_s)
            rotation.failed(room, now_s)
        now_s += 1.0
    assert asked[:5] == [0.0, 2.0, 6.0, 14.0, 30.0]
    assert asked[-1] - asked[-2] == MOST_FAILED_S
    assert rotation.unknown == 1
    assert not rotation.unseen(set(), [room]), "asked, and not answered: no reason to wait for it"


def test_some_unknown_rooms_are_tolerated_and_most_are_not() -> None:
    rotation, there = Rotation(), rooms(*(f"r{n}" for n in range(10)))
    rotation.take_over(there, None)
    rotation.due(there, set(), 0.0, 99)
    for room in there[:5]:
        rotation.failed(room, 0.0)
    assert not rotation.too_many_unknown
    rotation.failed(there[5], 0.0)
    assert rotation.too_many_unknown
    # They stay unknown while nobody asks them: silence is no answer.
    rotation.due(there, set(), 1.0, 99)
    assert rotation.too_many_unknown
    rotation.looked(there[5], 1.0, 0)
    assert not rotation.too_many_unknown
    # A room that is over is not unknown.
    rotation.take_over(there[5:], None)
    rotation.due(there[5:], set(), 2.0, 99)
    assert rotation.unknown == 0


def test_rooms_not_looked_at_yet_are_told() -> None:
    rotation, there = Rotation(), rooms("a", "b", "c")
    rotation.take_over(there, None)
    assert rotation.unseen({"c"}, there) == 2
    rotation.looked(there[0], 0.0, 0)
    assert rotation.unseen({"c"}, there) == 1


def test_a_foreign_room_is_left_alone_for_a_while() -> None:
    rotation, (room,) = Rotation(), rooms("meeting")
    rotation.take_over([room], None)
    rotation.looked(room, 5.0, 0, foreign=True)
    assert rotation.foreign(room, 5.0 + FOREIGN_S - 0.1)
    assert not rotation.foreign(room, 5.0 + FOREIGN_S)


def test_callers_new_to_a_room_came_after_it_was_last_seen_without_them() -> None:
    rotation, (room,) = Rotation(), rooms("r")
    rotation.take_over([room], 1_000)
    assert rotation.since_ms(room) == 1_000
    rotation.take_over([room], 9_000)
    assert rotation.since_ms(room) == 1_000, "it was there already, and nobody looked"
    rotation.looked(room, 1.0, 9_500)
    assert rotation.since_ms(room) == 9_500
