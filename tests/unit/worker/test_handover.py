"""A call changes hands only at a turn boundary, and first words after a recovery fit what was said."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession
from livekit.agents.llm import ChatContext, ChatMessage, ChatRole, FunctionCall, FunctionCallOutput
from livekit.agents.voice.io import AudioInput

from voicefleet.contract.calls import CallOrder
from voicefleet.worker.call import HANDED_OVER, RECOVERED, RETURNED, CallContext
from voicefleet.worker.conversation.agent_recipe import Given
from voicefleet.worker.conversation.boundary import UNHEARD_S, TurnBoundary
from voicefleet.worker.conversation.current_agent import CurrentAgent
from voicefleet.worker.conversation.resume import Opening, Phrases, Resumption, conversation, last_sentence, opening
from voicefleet.worker.conversation.transcript import CallTranscript, Loss
from voicefleet.worker.conversation.userdata import UserdataChanges
from voicefleet.worker.job.voice import OURS_KEPT_S, Gate

pytestmark = pytest.mark.unit

PHRASES = Phrases("Where were we? {last}", "Sorry.")


def turns(*events: str, now: float = 100.0, pending: bool = False) -> bool:
    """The boundary after `events`, each a second after the other, the last a second before `now`."""
    boundary = TurnBoundary()
    for n, event in enumerate(events):
        who, begins = event[:-1], event.endswith("+")
        if who == "caller":
            boundary.caller(begins, now - len(events) + n)
        else:
            boundary.agent(begins)
    return boundary.reached(now, speech_pending=pending)


def test_boundary() -> None:
    assert not turns(), "it has not begun to listen yet"
    assert turns("agent-")
    assert not turns("agent-", "agent+")
    assert not turns("agent-", "caller+")
    assert not turns("agent-", "caller+", "caller-"), "asked, and not answered yet"
    assert not turns("agent-", "caller+", "caller-", "agent+")
    assert turns("agent-", "caller+", "caller-", "agent+", "agent-")
    assert not turns("agent-", pending=True)
    assert not turns("agent-", "agent+", "caller+", "agent-"), "talked over, and still talking"
    assert not turns("agent-", "agent+", "caller+", "agent-", "caller-")


def test_a_noise_is_no_turn_for_long() -> None:
    boundary = TurnBoundary()
    boundary.agent(False)
    boundary.caller(True, 10.0)
    boundary.caller(False, 10.2)
    assert not boundary.reached(10.2 + UNHEARD_S - 0.1, speech_pending=False)
    assert boundary.reached(10.2 + UNHEARD_S, speech_pending=False)


def chat(*said: tuple[ChatRole, str]) -> ChatContext:
    context = ChatContext.empty()
    for role, text in said:
        context.add_message(role=role, content=text)
    return context


@pytest.mark.parametrize(
    ("said", "expected", "returned"),
    [
        ([], Opening("Where were we?"), ""),
        ([("assistant", "We open at nine. Which day?")], Opening("Where were we? Which day?"), "Which day?"),
        ([("assistant", "Hello."), ("user", "When?")], Opening("Sorry.", answer=True), ""),
        ([("user", "When?"), ("assistant", "At nine.")], Opening("Where were we? At nine."), "At nine."),
        ([("system", "Be nice.")], Opening("Where were we?"), ""),
    ],
)
def test_opening(said: list[tuple[ChatRole, str]], expected: Opening, returned: str) -> None:
    assert opening(RECOVERED, chat(*said).items, PHRASES) == expected
    assert opening(RETURNED, chat(*said).items, PHRASES) == Opening(returned, answer=expected.answer)
    assert opening(HANDED_OVER, chat(*said).items, PHRASES) == Opening("")
    assert opening("", chat(*said).items, PHRASES) == Opening("")


def test_a_function_without_a_reply_is_answered() -> None:
    items = chat(("assistant", "Hello."), ("user", "When?")).items
    items.append(FunctionCall(call_id="c", name="hours", arguments="{}"))
    assert opening(RECOVERED, items, PHRASES).answer
    items.append(FunctionCallOutput(call_id="c", name="hours", output="9", is_error=False))
    assert opening(RECOVERED, items, PHRASES).answer


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", ""),
        ("  ", ""),
        ("No stop", "No stop"),
        ("One. Two!  Three?", "Three?"),
        ("It is 9.30 now.", "It is 9.30 now."),
        ("你好。几点？", "几点？"),
    ],
)
def test_last_sentence(said: str, expected: str) -> None:
    assert last_sentence(said) == expected


def test_a_long_sentence_is_cut() -> None:
    quoted = last_sentence("word " * 60)
    assert len(quoted) <= 120
    assert quoted.endswith("word…")


class Frames(AudioInput):
    """Ten frames of 0.1 s, numbered by their first sample."""

    def __init__(self) -> None:
        super().__init__(label="frames")
        self._next = 0

    async def __anext__(self) -> rtc.AudioFrame:
        self._next += 1
        if self._next > 10:
            await asyncio.Event().wait()
        sample = self._next.to_bytes(2, "little")
        return rtc.AudioFrame(sample * 1600, 16_000, 1, 1600)


def resumed(session: AgentSession[Any], call: CallContext, before: CallTranscript, lost: list[Loss]) -> Resumption:
    agents = CurrentAgent(lambda: None, lambda: False, Given, "", lost.append)
    userdata = UserdataChanges(lambda: None, lambda: None)
    more = {"agents": agents, "userdata": userdata, "clock": Noon(), "lost": lost.append, "send": lambda _: None}
    return Resumption(session, call, before, PHRASES, **more)  # type: ignore[arg-type]


async def test_a_restored_conversation_stands_after_the_agent_s_own_words_and_each_part_once() -> None:
    """Whatever the clock of the machine that stored it."""
    at_s = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    past = [
        {"type": "message", "id": "i1", "role": "user", "content": ["When?"], "created_at": at_s + 300},
        {"type": "message", "id": "i2", "role": "assistant", "content": ["At nine."], "created_at": at_s + 302},
        {"type": "agent_config_update", "id": "i3", "instructions": "Obey.", "created_at": at_s + 303},
    ]
    session, agent = AgentSession[Any](), Agent(instructions="Help.", chat_ctx=chat(("system", "Be brief.")))
    call, lost = CallContext("eu", "room", "fast", CallOrder(), "w", RECOVERED), list[Loss]()
    before = CallTranscript("fast", past, {"table": 4})
    resumption = resumed(session, call, before, lost)
    assert await resumption.prepare(agent) is agent
    await resumption._restore(agent, before)
    assert [i.id for i in agent.chat_ctx.items[1:]] == ["i1", "i2"]
    assert [i.id for i in session.history.items] == ["i1", "i2"]
    session.history.insert(ChatMessage(role="user", content=["And then?"], created_at=at_s + 1))
    assert [item["content"] for item in conversation(session)] == [["When?"], ["At nine."], ["And then?"]]
    assert lost == []


async def test_an_unreadable_conversation_is_left_out_and_named() -> None:
    session, lost = AgentSession[Any](), list[Loss]()
    call = CallContext("eu", "room", "fast", CallOrder(), "w", RECOVERED)
    before = CallTranscript("fast", [{"type": "no such thing"}], {"table": 4})
    resumption = resumed(session, call, before, lost)
    await resumption.prepare(Agent(instructions="Help."))
    assert lost == [Loss.UNREADABLE]


class Noon:
    def monotonic(self) -> float:
        return 0.0

    def wall(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def heard(gate: Gate, count: int) -> list[int]:
    return [int((await gate.__anext__()).data[0]) for _ in range(count)]


async def test_an_open_gate_lets_everything_through() -> None:
    assert await heard(Gate(Frames()), 10) == list(range(1, 11))


async def test_a_gate_gives_back_the_last_moment_once_it_opens() -> None:
    gate = Gate(Frames(), closed=True, keep_s=0.35)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await heard(gate, 1)
    gate.close(False)
    assert await heard(gate, 3) == [8, 9, 10]


async def test_once_the_call_is_ours_no_word_is_lost_until_the_agent_hears() -> None:
    gate = Gate(Frames(), closed=True, keep_s=0.35)
    gate.keep(OURS_KEPT_S)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await heard(gate, 1)
    gate.close(False)
    assert await heard(gate, 10) == list(range(1, 11))
