"""The record of a played task: whole through JSON, and when it counts as a success."""

from __future__ import annotations

import json

import pytest

from voicefleet.contract.errors import ConfigError
from voicefleet.tasks.record import CallerSpeech, CheckResult, SaidText, SlotResult, SpeechKind, TaskRecord, ToolCall

pytestmark = pytest.mark.unit

RECORD = TaskRecord(
    task="book-01",
    goal="book",
    part="tuning",
    config="fast",
    seed=1,
    agent=((0.5, 2.0), (4.0, 5.5)),
    caller=(CallerSpeech(SpeechKind.TURN, "Hello.", 2.7, 3.5, pauses=((3.0, 3.2),)),),
    tools=(ToolCall("book", '{"people": 4}', "Booked.", False, 3.9),),
    said=(SaidText("Hello", 2.0),),
    checks=(CheckResult("calls.book", True),),
    slots=(SlotResult("book.people", "4", "4"), SlotResult("book.name", "miller", None)),
    extra_slots=(("book.day", "monday"),),
    worker_cpu_s=1.5,
)


def test_a_record_comes_back_from_its_json() -> None:
    again = TaskRecord.from_json(json.loads(json.dumps(RECORD.to_json())))
    assert again == RECORD
    assert hash(again) == hash(RECORD)
    assert [slot.right for slot in again.slots] == [True, False]


@pytest.mark.parametrize("wrong", [{"colour": "red"}, {"caller": [{"kind": "song"}]}, {"agent": [1]}])
def test_what_is_no_record_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="not the record of a played task"):
        TaskRecord.from_json({**RECORD.to_json(), **wrong})


def test_no_checks_and_a_failed_call_are_no_success() -> None:
    blank = TaskRecord(task="t", goal="book", part="tuning", config="c", seed=1)
    assert RECORD.success
    assert not blank.success
    failed = TaskRecord.from_json({**RECORD.to_json(), "error": "connect: no answer"})
    assert not failed.success
