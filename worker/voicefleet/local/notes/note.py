"""The note: how it is asked for, what a grammar lets it be, and what it means. Pure.

    Caller: I want to book a table for two.
    Desk: For which day?
    Caller: On Monday.
    Note: book(name=?, day=monday, time=?, people=2)

What the caller wants with what is known of it, or ``say:`` and a sentence. The model has but to copy; what is missing
is asked for by us, and a tool is called by us.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from voicefleet.local.forms.dialogue import CallTool, Heard, Item, Said, Speak, ToolDone
from voicefleet.local.matching import Matcher
from voicefleet.local.notes.schema import Example, Examples
from voicefleet.local.notes.tools import Tool

SAY = "say: "
_UNKNOWN = "?"
_MOST_ITEMS = 8
_MOST_EXAMPLES = 6
_SAME_QUESTION = 0.5
_CALL = re.compile(r"(\w+)\((.*)\)")


FOLLOW_UP = "Is there anything else?"


def at_once(items: Sequence[Item]) -> Speak | None:
    """What needs no model: what a tool gave back is said as it stands. None: the caller is to be answered."""
    last = items[-1] if items else None
    if isinstance(last, Heard):
        return None
    return Speak(last.output if isinstance(last, ToolDone) else FOLLOW_UP)


class Nearest:
    """The examples that are most like a call: a small model copies what stands near, and reads a long prompt slowly."""

    def __init__(self, examples: Examples) -> None:
        self._examples = examples
        self._matcher = Matcher({str(n): (example.call[-1],) for n, example in enumerate(examples.examples)})

    def of(self, items: Sequence[Item]) -> tuple[Example, ...]:
        """At most six, the nearest last: those whose caller speaks alike, in answer to the same question."""
        turns = [item for item in items if isinstance(item, Heard | Said)]
        heard, asked = turns[-1].text, turns[-2].text if len(turns) > 1 else ""
        alike = {match.key: match.score_ratio for match in self._matcher.all(heard)}

        def likeness(number: int) -> float:
            call = self._examples.examples[number].call
            return alike.get(str(number), 0.0) + (_SAME_QUESTION if asked in call[-2:-1] else 0.0)

        order = sorted(range(len(self._examples.examples)), key=likeness)
        return tuple(self._examples.examples[number] for number in order[-_MOST_EXAMPLES:])


def prompt(instructions: str, items: Sequence[Item], tools: Sequence[Tool], examples: Sequence[Example]) -> str:
    """What the model goes on from."""
    by_name = {tool.name: tool for tool in tools}
    parts = [instructions.strip()] if instructions.strip() else []
    for example in examples:
        if example.tool is None or example.tool in by_name:
            parts.append("\n".join([*_example_call(example.call), f"Note: {_example_note(example, by_name)}"]))
    parts.append("\n".join([*_call(items, by_name), "Note:"]))
    return "\n\n".join(parts)


def grammar(tools: Sequence[Tool]) -> str:
    """What a note may be, in llguidance's Lark."""
    lines = [f"start: {' | '.join(['said', *(f'call_{n}' for n in range(len(tools)))])}"]
    lines.append(r'said: " say: " /[A-Za-z][^\n]{0,160}/ "\n"')
    for number, tool in enumerate(tools):
        parts, written = [], f" {tool.name}("
        for place, argument in enumerate(tool.arguments):
            written += f"{', ' if place else ''}{argument.name}="
            parts += [json.dumps(written), f"({_regex(argument.pattern)} | {json.dumps(_UNKNOWN)})"]
            written = ""
        lines.append(f"call_{number}: {' '.join([*parts, json.dumps(f'{written})')])} " + r'"\n"')
    return "%llguidance {}\n" + "\n".join(lines)


def meaning(note: str, tools: Sequence[Tool], examples: Examples) -> Speak | CallTool:
    """What to do by the note: say its words, call its tool, or ask for what the tool still needs."""
    note = note.strip()
    if words := note.removeprefix(SAY.strip()).strip() if note.startswith(SAY.strip()) else "":
        return Speak(words)
    found = _CALL.fullmatch(note)
    tool = next((tool for tool in tools if found and tool.name == found[1]), None)
    if found is None or tool is None:
        return Speak(examples.fallback)
    written = dict(part.split("=", 1) for part in found[2].split(", ") if "=" in part)
    arguments: dict[str, Any] = {}
    for argument in tool.arguments:
        value = written.get(argument.name, _UNKNOWN).strip()
        if value != _UNKNOWN:
            arguments[argument.name] = argument.value(value)
        elif argument.required:
            return Speak(examples.ask.get(argument.name) or f"What is the {argument.name.replace('_', ' ')}?")
    return CallTool(tool.name, arguments)


def _call(items: Sequence[Item], tools: Mapping[str, Tool]) -> Iterable[str]:
    """The end of the call: what went before a tool that was called is told by that tool."""
    lines: list[str] = []
    for item in items:
        if isinstance(item, Heard):
            lines.append(f"Caller: {_line(item.text)}")
        elif isinstance(item, Said):
            lines.append(f"Desk: {_line(item.text)}")
        elif isinstance(item, ToolDone) and not item.failed:
            known = {name: str(value) for name, value in item.arguments.items()}
            lines = [f"Done: {_written(tools[item.tool], known)}"] if item.tool in tools else []
    return lines[-_MOST_ITEMS:]


def _example_call(call: Sequence[str]) -> list[str]:
    return [f"{'Desk' if place % 2 else 'Caller'}: {words}" for place, words in enumerate(call)]


def _example_note(example: Example, tools: Mapping[str, Tool]) -> str:
    return f"{SAY}{example.say}" if example.tool is None else _written(tools[example.tool], example.values)


def _written(tool: Tool, values: Mapping[str, str]) -> str:
    parts = (f"{argument.name}={values.get(argument.name, _UNKNOWN)}" for argument in tool.arguments)
    return f"{tool.name}({', '.join(parts)})"


def _line(text: str) -> str:
    return " ".join(text.split())


def _regex(pattern: str) -> str:
    return "/" + pattern.replace("/", r"\/") + "/"
