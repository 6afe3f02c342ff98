"""Notes: what a small model is asked, what it may write, and what is done by it."""

from __future__ import annotations

from typing import Any

import pytest

from voicefleet.contract.errors import ConfigError
from voicefleet.local.forms.dialogue import CallTool, Heard, Item, Said, Speak, ToolDone
from voicefleet.local.notes.note import Nearest, at_once, grammar, meaning, prompt
from voicefleet.local.notes.schema import Examples, parse_examples, read_examples
from voicefleet.local.notes.tools import Tool, tools_of

pytestmark = pytest.mark.unit

EXAMPLES = parse_examples(
    """
fallback: Pardon?
ask: {day: "For which day?"}
patterns: {day: monday|tuesday}
examples:
  - {call: [A table please.], tool: book}
  - {call: [A table please., "For which day?", Monday.], tool: book, values: {day: monday, people: "2"}}
  - {call: [A taxi please.], tool: taxi}
  - {call: ["Where are you?"], say: "Here, at the door."}
""",
    "examples.yaml",
)


def function(name: str, properties: dict[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "function", "function": {"name": name, "description": "", "parameters": parameters}}


FUNCTIONS = [
    function(
        "book",
        {"day": {"type": "string"}, "people": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
        required=("day",),
    ),
    function("seat", {"where": {"type": "string", "enum": ["in/out", "inside"]}, "warm": {"type": "boolean"}}),
    function("transfer", {}),
]


@pytest.fixture
def tools() -> tuple[Tool, ...]:
    return tools_of(FUNCTIONS, EXAMPLES.patterns)


def test_a_tool_is_known_by_its_schema_and_by_the_file(tools: tuple[Tool, ...]) -> None:
    book, seat, transfer = tools
    assert [(a.name, a.kind, a.required) for a in book.arguments] == [
        ("day", "string", True),
        ("people", "integer", False),
    ]
    assert book.arguments[0].pattern == "monday|tuesday"
    assert seat.arguments[0].pattern == "in/out|inside"
    assert transfer.arguments == ()


def test_the_prompt_ends_where_the_note_begins_and_shows_what_is_offered(tools: tuple[Tool, ...]) -> None:
    items: list[Item] = [Heard("A table\nplease."), Said("For which day?"), Heard("Tuesday.")]
    assert prompt("You are the desk.", items, tools, EXAMPLES.examples) == (
        "You are the desk.\n\n"
        "Caller: A table please.\nNote: book(day=?, people=?)\n\n"
        "Caller: A table please.\nDesk: For which day?\nCaller: Monday.\nNote: book(day=monday, people=2)\n\n"
        "Caller: Where are you?\nNote: say: Here, at the door.\n\n"
        "Caller: A table please.\nDesk: For which day?\nCaller: Tuesday.\nNote:"
    )


def test_the_nearest_example_stands_last() -> None:
    nearest = Nearest(EXAMPLES)
    assert nearest.of([Heard("Tell me, where are you?")])[-1].say == "Here, at the door."
    assert nearest.of([Heard("A table."), Said("For which day?"), Heard("Tuesday.")])[-1].values == {
        "day": "monday",
        "people": "2",
    }
    assert len(Nearest(read_examples()).of([Heard("!")])) == 6
    assert Nearest(Examples()).of([Heard("A table.")]) == ()


def test_what_a_tool_has_done_stands_for_the_talk_before_it(tools: tuple[Tool, ...]) -> None:
    items: list[Item] = [
        Heard("A table on Monday."),
        ToolDone("book", {"day": "monday"}, "Booked."),
        Said("Booked."),
        Heard("For two."),
    ]
    assert prompt("", items, tools, ()) == ("Done: book(day=monday, people=?)\nDesk: Booked.\nCaller: For two.\nNote:")
    failed: list[Item] = [Heard("On Monday."), ToolDone("book", {"day": "monday"}, "Full.", failed=True), Said("Full.")]
    assert "Caller: On Monday.\nDesk: Full." in prompt("", failed, tools, ())


def test_a_long_call_is_told_from_its_end(tools: tuple[Tool, ...]) -> None:
    items: list[Item] = [Heard(f"word {n}") if n % 2 == 0 else Said(f"word {n}") for n in range(101)]
    told = prompt("", items, tools, ()).splitlines()
    assert len(told) < 12
    assert told[-2:] == ["Caller: word 100", "Note:"]


def test_the_grammar_has_each_tool_with_the_values_it_takes(tools: tuple[Tool, ...]) -> None:
    lines = grammar(tools).splitlines()
    assert lines[0] == "%llguidance {}"
    assert lines[1] == "start: said | call_0 | call_1 | call_2"
    assert lines[3] == ('call_0: " book(day=" (/monday|tuesday/ | "?") ", people=" (/-?[0-9]{1,6}/ | "?") ")" "\\n"')
    assert r"/in\/out|inside/" in lines[4]
    assert lines[5] == 'call_2: " transfer()" "\\n"'


@pytest.mark.parametrize(
    ("note", "wanted"),
    [
        (" book(day=monday, people=2)\n", CallTool("book", {"day": "monday", "people": 2})),
        (" book(day=monday, people=?)", CallTool("book", {"day": "monday"})),
        (" book(day=?, people=2)", Speak("For which day?")),
        (" seat(where=inside, warm=true)", CallTool("seat", {"where": "inside", "warm": True})),
        (" transfer()", CallTool("transfer", {})),
        (" say: Here, at the door.", Speak("Here, at the door.")),
        (" say:", Speak("Pardon?")),
        (" dance(now=?)", Speak("Pardon?")),
        (" book(day=mon", Speak("Pardon?")),
        ("", Speak("Pardon?")),
    ],
)
def test_a_note_means_a_call_a_question_or_words(note: str, wanted: Speak | CallTool, tools: tuple[Tool, ...]) -> None:
    assert meaning(note, tools, EXAMPLES) == wanted


def test_an_argument_without_a_question_in_the_file_is_asked_for_by_its_name(tools: tuple[Tool, ...]) -> None:
    assert meaning(" book(day=?, people=2)", tools, Examples()) == Speak("What is the day?")


def test_what_a_tool_gave_back_is_said_as_it_stands() -> None:
    assert at_once([Heard("x"), ToolDone("book", {}, "Booked.")]) == Speak("Booked.")
    assert at_once([Heard("x")]) is None
    assert at_once([Said("Hello.")]) == at_once([]) == Speak("Is there anything else?")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("examples: [{call: [x], tool: a, say: b}]", "both tool and say"),
        ("examples: [{call: [x]}]", "neither tool nor say"),
        ("examples: [{call: [x, y], say: b}]", "ends with the agent"),
        ("exampels: []", "Did you mean examples?"),
        ('examples: [{call: ["x\\ny"], say: b}]', "examples.0.call"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_examples(text, "examples.yaml")
    assert told in str(refused.value)


def test_the_built_in_examples_are_of_the_desks_tools() -> None:
    from livekit.agents import llm

    from voicefleet.tasks.agent import DeskAgent
    from voicefleet.tasks.desk import Desk

    examples = read_examples()
    functions = llm.ToolContext(DeskAgent(Desk()).tools).parse_function_tools("openai", strict=False)
    tools = {tool.name: tool for tool in tools_of(functions, examples.patterns)}
    assert set(tools) == {example.tool for example in examples.examples} - {None}
    for example in examples.examples:
        if example.tool:
            assert set(example.values) <= {argument.name for argument in tools[example.tool].arguments}
