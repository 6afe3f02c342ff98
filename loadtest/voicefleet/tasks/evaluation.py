"""Whether a call came to what its task wants, and which values the agent understood. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from voicefleet.tasks.record import CheckResult, SlotResult, Slots, ToolCall
from voicefleet.tasks.schema import Checks


def evaluate(
    checks: Checks, tools: Sequence[ToolCall], final_state: str, said: Sequence[str]
) -> tuple[CheckResult, ...]:
    """Each check, and why it does not hold.

    Args:
        tools: the calls of the agent's tools, in order.
        final_state: as JSON text; empty: not told.
        said: the agent's words.
    """
    done = [call for call in tools if not call.failed]
    found = [_called(tool, wanted, done, tools) for call in checks.calls for tool, wanted in call.items()]
    for tool in checks.not_called:
        calls = [call for call in done if call.name == tool]
        found.append(_result(f"not_called.{tool}", not calls, f"{tool} was called with {_values(calls)}"))
    if checks.state is not None:
        found.append(_state(checks.state, final_state))
    heard = " ".join(said)
    for words in checks.said:
        why = f"the agent never said {words!r}"
        found.append(_result(f"said.{words}", any(_has(heard, one) for one in words.split("|")), why))
    for words in checks.not_said:
        why = f"the agent said {words!r}"
        found.append(_result(f"not_said.{words}", not any(_has(heard, one) for one in words.split("|")), why))
    return tuple(found)


def slots_of(checks: Checks, tools: Sequence[ToolCall]) -> tuple[tuple[SlotResult, ...], Slots]:
    """The values that had to be understood with what the agent passed, and what it passed beyond them.

    Of several calls of a tool the last that did not fail counts, else the last; a check takes one call for itself.
    """
    left = [*(c for c in tools if c.failed), *(c for c in tools if not c.failed)]
    slots: list[SlotResult] = []
    extra: list[tuple[str, str]] = []
    for call in checks.calls:
        for tool, wanted in call.items():
            made = _best(tool, wanted, left)
            got = made.values() if made is not None else {}
            if made is not None:
                left.remove(made)
            for name, value in wanted.items():
                heard = got.get(name)
                slots.append(SlotResult(f"{tool}.{name}", plain(value), None if _empty(heard) else plain(heard)))
            extra += [(f"{tool}.{n}", plain(v)) for n, v in got.items() if n not in wanted and not _empty(v)]
    return tuple(slots), tuple(sorted(extra))


def plain(value: Any) -> str:
    """A value as it is compared: ``Smith.`` is ``smith``, 4 is ``4``, ``19:00`` stays."""
    if isinstance(value, str):
        return re.sub(r"[^\w:+]", "", value.casefold())
    return json.dumps(value, sort_keys=True)


def _best(tool: str, wanted: Mapping[str, Any], calls: Sequence[ToolCall]) -> ToolCall | None:
    """Of the calls of `tool` the last with the most right values that did not fail, else the last."""
    of_it = [call for call in calls if call.name == tool]

    def right(call: ToolCall) -> tuple[bool, int]:
        values = call.values()
        return not call.failed, sum(plain(values.get(name)) == plain(value) for name, value in wanted.items())

    return max(reversed(of_it), key=right, default=None)


def _called(tool: str, wanted: Mapping[str, Any], done: Sequence[ToolCall], all_: Sequence[ToolCall]) -> CheckResult:
    name = f"calls.{tool}"
    for call in done:
        values = call.values()
        if call.name == tool and all(plain(values.get(key)) == plain(value) for key, value in wanted.items()):
            return CheckResult(name, True)
    calls = [call for call in all_ if call.name == tool]
    if not calls:
        return CheckResult(name, False, f"{tool} was never called")
    failed = ", and failed" if all(call.failed for call in calls) else ""
    return CheckResult(name, False, f"{tool} was called with {_values(calls)}{failed}, not with {_text(wanted)}")


def _state(wanted: Mapping[str, Any], final_state: str) -> CheckResult:
    if not final_state:
        return CheckResult("state", False, "the agent told no state")
    try:
        state = json.loads(final_state)
    except ValueError:
        return CheckResult("state", False, "the state is not JSON")
    missing = _differs(wanted, state, "")
    return _result("state", not missing, missing)


def _differs(wanted: Any, got: Any, at: str) -> str:
    """Where `got` lacks what is wanted; empty: nowhere."""
    if isinstance(wanted, dict):
        if not isinstance(got, dict):
            return f"{at or 'the state'} is {_text(got)}, not {_text(wanted)}"
        for key, value in wanted.items():
            where = f"{at}.{key}" if at else str(key)
            if key not in got:
                # A null says that there must be none.
                if value is None:
                    continue
                return f"{where} is not there"
            if value is None and got[key] is not None:
                return f"{where} is there: {_text(got[key])}"
            if found := _differs(value, got[key], where):
                return found
        return ""
    if isinstance(wanted, list):
        same = isinstance(got, list) and sorted(map(plain, wanted)) == sorted(map(plain, got))
        return "" if same else f"{at} is {_text(got)}, not {_text(wanted)}"
    return "" if plain(wanted) == plain(got) else f"{at} is {_text(got)}, not {_text(wanted)}"


def _has(text: str, words: str) -> bool:
    """Whether whole words are in the text, whatever their case and marks."""
    return f" {_spaced(words)} " in f" {_spaced(text)} "


def _spaced(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold().replace("'", "")))


def _result(name: str, passed: bool, why: str) -> CheckResult:
    return CheckResult(name, passed, "" if passed else why)


def _empty(value: Any) -> bool:
    return value is None or value == "" or value == 0


def _values(calls: Sequence[ToolCall]) -> str:
    return " and ".join(_text(call.values()) for call in calls)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
