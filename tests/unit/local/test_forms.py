"""The form responder: what it asks, which tool it calls with what, and what it makes of misheard words."""

from __future__ import annotations

import pytest
from livekit.agents import llm
from livekit.agents.llm import ChatContext, FunctionCall, FunctionCallOutput

from voicefleet.contract.errors import ConfigError
from voicefleet.local.forms.dialogue import CallTool, Dialogue, Heard, Item, Said, Speak, ToolDone
from voicefleet.local.forms.responder import FormResponder, conversation
from voicefleet.local.forms.schema import parse_rules, read_rules
from voicefleet.local.forms.words import like_name, mend_days, plain

pytestmark = pytest.mark.unit

RULES = read_rules()
TOOLS = [form.tool for form in RULES.forms]


def talk(*turns: str, repair: bool = True, fails: str = "") -> list[str | CallTool]:
    """What the responder does at each of the caller's turns; a tool named `fails` raises, and says the name."""
    dialogue, items, done = Dialogue(RULES, repair=repair), list[Item](), list[str | CallTool]()
    for turn in turns:
        items.append(Heard(turn))
        found = dialogue.next(items, TOOLS)
        if isinstance(found, Speak):
            items.append(Said(found.text))
            done.append(found.text)
            continue
        output = f"I find no booking for {found.arguments.get('name')}." if found.tool == fails else "Done."
        items.append(ToolDone(found.tool, found.arguments, output, failed=found.tool == fails))
        spoken = dialogue.next(items, TOOLS)
        assert spoken == Speak(output)
        items.append(Said(output))
        done.append(found)
    return done


def test_what_is_missing_is_asked_for_one_thing_at_a_time() -> None:
    assert talk("I want a table", "On Saturday", "Half past seven", "Two", "Miller") == [
        "For which day?",
        "At what time?",
        "For how many people?",
        "What name is it?",
        CallTool("book", {"day": "saturday", "time": "19:30", "people": 2, "name": "miller"}),
    ]


@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        (
            "I'd like to reserve for two on Friday at 7:30 p.m. under Thompson",
            {"day": "friday", "time": "19:30", "people": 2, "name": "thompson"},
        ),
        (
            "Book a table for two, sorry, three people on Monday at eight, no, at nine. The name is Clark",
            {"day": "monday", "time": "21:00", "people": 3, "name": "clark"},
        ),
        (
            "A table for 6 on Wednesday, not Tuesday, at quarter to eight. My name is White.",
            {"day": "wednesday", "time": "19:45", "people": 6, "name": "white"},
        ),
        (
            "book a table for for people on fried day at twelve my name is millar",
            {"day": "friday", "time": "12:00", "people": 4, "name": "miller"},
        ),
        (
            "A table for one person on Sunday at noon, no, at 1, it's Smyth, S-M-Y-T-H",
            {"day": "sunday", "time": "13:00", "people": 1, "name": "smyth"},
        ),
    ],
)
def test_one_sentence_may_hold_everything(said: str, arguments: dict[str, str | int]) -> None:
    assert talk(said) == [CallTool("book", arguments)]


def test_without_repair_only_exact_words_count() -> None:
    misheard = "book a table for four people on fried day at seven, the name is miller"
    assert talk(misheard, repair=False) == ["For which day?"]
    assert talk("We cannot come after all", repair=False) == [RULES.fallback]
    assert talk("We cannot come after all") == ["What name is it?"]


def test_a_number_with_a_pause_in_it_is_put_together() -> None:
    assert talk("Please call me back.", "My number is 555", "1234.") == [
        "What is your number?",
        "What is your number?",
        CallTool("leave_number", {"number": "5551234"}),
    ]


def test_a_change_of_mind_after_a_booking_needs_no_name_again() -> None:
    booked = "Book a table for four people on Friday at seven, the name is Baker"
    assert talk(booked, "No wait, make it five people.")[1] == CallTool("change", {"name": "baker", "people": 5})
    later = "Could we come later? Change my booking to eight thirty, the name is Cole"
    assert talk(later) == [CallTool("change", {"name": "cole", "time": "20:30"})]
    assert talk("Move my booking from Friday to Saturday, the name is Baker") == [
        CallTool("change", {"name": "baker", "day": "saturday"})
    ]


def test_a_name_that_the_tool_does_not_know_may_be_said_again() -> None:
    done = talk("Cancel my booking", "The name is Bakken.", "Baker.", fails="cancel")
    assert done[1:] == [CallTool("cancel", {"name": "bakken"}), CallTool("cancel", {"name": "baker"})]
    # The same once more is no new attempt.
    assert talk("Cancel the booking of Baker", "Baker.", fails="cancel")[1] == RULES.fallback


def test_questions_are_answered_and_the_form_goes_on() -> None:
    done = talk("A table for two on Friday", "Do you have parking?", "At seven, the name is Cole")
    assert done == [
        "At what time?",
        "There is parking behind the house.",
        CallTool("book", {"day": "friday", "time": "19:00", "people": 2, "name": "cole"}),
    ]
    assert talk("A table for two on Friday", "Never mind, do not book it", "at seven")[1:] == [
        "All right, I do nothing.",
        RULES.fallback,
    ]


def test_noise_words_get_the_open_question_once_more() -> None:
    assert talk("A table for two on Friday", "uh huh") == ["At what time?", "Sorry, at what time?"]
    assert talk("uh huh") == [RULES.fallback]


def test_words_are_brought_to_one_form() -> None:
    assert plain("It's at 7.30 P.M., for Four!") == "it is at 7:30 pm for 4"
    assert plain("S-M-Y-T-H") == "smyth"
    assert mend_days("on satur day or mundane") == "on saturday or monday"
    assert like_name("thomson", RULES.names) == "thompson"
    assert like_name("zyx", RULES.names) == "zyx"


def context(*, failed: bool = False) -> ChatContext:
    chat = ChatContext.empty()
    chat.add_message(role="system", content="You are a desk.")
    chat.add_message(role="user", content="Cancel the booking of Baker")
    chat.items.append(FunctionCall(call_id="1", name="cancel", arguments='{"name": "baker"}'))
    chat.items.append(FunctionCallOutput(call_id="1", name="cancel", output="It is cancelled.", is_error=failed))
    return chat


def test_a_conversation_of_livekits_is_read() -> None:
    assert conversation(context(failed=True)) == [
        Heard("Cancel the booking of Baker"),
        ToolDone("cancel", {"name": "baker"}, "It is cancelled.", failed=True),
    ]


async def test_as_an_llm_it_calls_tools_and_says_their_output() -> None:
    @llm.function_tool
    async def cancel(name: str) -> str:
        """Cancel."""
        return name

    responder = FormResponder()
    before = ChatContext.empty()
    before.add_message(role="user", content="Cancel the booking of Baker")
    called = await responder.chat(chat_ctx=before, tools=[cancel]).collect()
    assert [(call.name, call.arguments) for call in called.tool_calls] == [("cancel", '{"name": "baker"}')]
    assert (await responder.chat(chat_ctx=context(), tools=[cancel]).collect()).text == "It is cancelled."
    # A tool that the agent does not have cannot be called.
    assert (await responder.chat(chat_ctx=before, tools=[]).collect()).text == RULES.fallback


def test_a_wrong_rules_file_names_the_field() -> None:
    text = "slots: {day: {kind: day, ask: Which}}\nforms: [{tool: book, words: [book], needs: [dya]}]"
    with pytest.raises(ConfigError) as refused:
        parse_rules(text, "mine.yaml")
    assert refused.value.field == "forms.0.needs"
    assert "Did you mean day?" in refused.value.hint
    with pytest.raises(ConfigError, match="cannot be read"):
        read_rules("/nowhere/rules.yaml")
    with pytest.raises(ConfigError, match="out of range"):
        FormResponder(least_score=2)
