"""Whether a call came to what its task wants, and the values that were understood."""

from __future__ import annotations

import json
from typing import Any

import pytest

from voicefleet.tasks.evaluation import evaluate, plain, slots_of
from voicefleet.tasks.record import SlotResult, ToolCall
from voicefleet.tasks.schema import Checks

pytestmark = pytest.mark.unit


def call(tool: str, *, failed: bool = False, **arguments: Any) -> ToolCall:
    return ToolCall(tool, json.dumps(arguments), "", failed, 1.0)


def checks(**fields: Any) -> Checks:
    return Checks.model_validate(fields)


def test_a_call_with_at_least_these_values_that_did_not_fail() -> None:
    wanted = checks(calls=[{"book": {"name": "miller", "people": 4}}])
    for tools, why in [
        ([call("book", name="Miller.", people=4, day="friday")], ""),
        ([call("book", name="miller", people=5)], "not with"),
        ([call("book", failed=True, name="miller", people=4)], "and failed"),
        ([], "never called"),
    ]:
        (result,) = evaluate(wanted, tools, "", [])
        assert (result.passed, why in result.why) == (not why, True)


def test_the_final_state_has_what_is_wanted_and_lacks_what_is_null() -> None:
    wanted = checks(state={"bookings": {"baker": None, "evans": {"people": 3}}, "numbers": ["1", "2"]})
    good: dict[str, Any] = {"bookings": {"evans": {"people": 3, "day": "friday"}}, "numbers": ["2", "1"]}
    assert evaluate(wanted, [], json.dumps(good), [])[0].passed
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"bookings": {"evans": {"people": 4}}}, "bookings.evans.people is 4, not 3"),
        ({"bookings": {"baker": {}, "evans": {"people": 3}}}, "bookings.baker is there"),
        ({"numbers": ["1"]}, "numbers is"),
    ]
    for change, why in wrong:
        result = evaluate(wanted, [], json.dumps({**good, **change}), [])[0]
        assert not result.passed
        assert result.why.startswith(why)
    assert evaluate(wanted, [], "", [])[0].why == "the agent told no state"


def test_what_was_said_is_found_by_whole_words() -> None:
    wanted = checks(said=["four people|4 people"], not_said=["sorry"], not_called=["cancel"])
    assert all(r.passed for r in evaluate(wanted, [call("cancel", failed=True)], "", ["For 4", "People."]))
    results = evaluate(wanted, [call("cancel", name="a")], "", ["For 14 people. Sorry!"])
    assert [r.passed for r in results] == [False, False, False]


def test_slots_are_of_the_call_that_fits_best_and_others_are_extra() -> None:
    wanted = checks(calls=[{"book": {"name": "miller", "people": 4}}, {"cancel": {"name": "baker"}}])
    made = [
        call("book", name="miller", people=4, day="friday"),
        call("book", name="muller", people=2),
        call("book", failed=True, name="miller", people=4),
    ]
    slots, extra = slots_of(wanted, made)
    assert slots == (
        SlotResult("book.name", "miller", "miller"),
        SlotResult("book.people", "4", "4"),
        SlotResult("cancel.name", "baker", None),
    )
    assert extra == (("book.day", "friday"),)
    assert (plain("Smith."), plain(4), plain("19:00")) == ("smith", "4", "19:00")
