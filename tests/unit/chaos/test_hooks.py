"""What a receiver of call events makes of those that came, and of those that did not."""

from __future__ import annotations

import pytest

from support.virtual_time import LoopClock, now_s, run
from voicefleet.chaos.hooks import ENDED_LIMIT_S, Hooks
from voicefleet.contract.call_events import EventType

pytestmark = pytest.mark.unit

WHOLE = (EventType.STARTED, EventType.ANSWERED, EventType.ENDED)


def hooks(*kinds: EventType, call: str = "RM_1", room: str = "room") -> Hooks:
    made = Hooks({}, (b"k" * 16,))
    for kind in kinds:
        made.add(f"{call}.{kind.value}", kind, {"call": call, "room": room})
    return made


def test_a_call_that_was_told_whole_and_repeats_of_it_are_well() -> None:
    made = hooks(*WHOLE, *WHOLE)
    assert made.problems(["room"]) == []


@pytest.mark.parametrize("missing", WHOLE)
def test_each_event_that_did_not_come_is_named(missing: EventType) -> None:
    made = hooks(*(kind for kind in WHOLE if kind is not missing))
    assert made.problems(["room"]) == [f"{missing.value} never came"]


def test_an_end_with_another_id_is_a_second_bill() -> None:
    made = hooks(*WHOLE)
    made.add("another", EventType.ENDED, {"call": "RM_1", "room": "room"})
    assert made.problems(["room"]) == ["call.ended came twice"]


def test_of_a_room_of_which_nothing_came_nothing_is_well() -> None:
    assert len(hooks().problems(["room", "other"])) == 2


def test_a_caller_who_comes_back_is_a_call_of_its_own() -> None:
    made = hooks(*WHOLE)
    made.add("2", EventType.STARTED, {"call": "RM_1.2", "room": "room"})
    assert made.problems(["room"]) == ["call.ended never came"]


def test_the_end_is_waited_for_and_not_for_ever() -> None:
    async def wait(room: str) -> float:
        await hooks(*WHOLE).settle([room], LoopClock())
        return now_s()

    assert run(wait("room")) == 0.0
    assert run(wait("another")) == ENDED_LIMIT_S
