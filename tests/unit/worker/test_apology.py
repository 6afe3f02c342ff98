"""The apology in a whole livekit session without a room, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from livekit.agents import Agent, AgentSession, APIStatusError, function_tool
from livekit.agents.llm import LLM
from livekit.agents.tts import TTS, ChunkedStream
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from support.failing_providers import ScriptedLLM
from support.loudspeaker import Loudspeaker
from support.virtual_time import LoopClock, run
from voicefleet.local.synthetic import SyntheticTTS
from voicefleet.worker.dead_air.apology import Apology
from voicefleet.worker.dead_air.detector import RECONNECT_GRACE_S
from voicefleet.worker.providers.limits import limit_llm, limit_tts
from voicefleet.worker.providers.pipeline import connect_options
from voicefleet.worker.telemetry.observations import ApologySpoken, Observation, ProviderFailure
from voicefleet.worker.tiers.load import ReadyTier, resolve_tiers
from voicefleet.worker.tiers.schema import LONE_TIMEOUT_S, TiersFile

pytestmark = pytest.mark.unit

APOLOGY_S, WORKING_S = pytest.approx(3.45, abs=0.1), pytest.approx(1.46, abs=0.1)


def limited(model: LLM[Any]) -> LLM[Any]:
    """As the worker limits a provider that is alone."""
    limit_llm(model, LONE_TIMEOUT_S)
    return model


def ready() -> ReadyTier:
    file = TiersFile.model_validate({"default": "a", "tiers": {"a": {}}})
    return resolve_tiers(file, {}).pick("a")


class Talk:
    """A session whose caller types instead of speaking: the turn is taken at once."""

    def __init__(
        self, model: LLM[Any], agent: Agent | None = None, *, language: str = "", voice: TTS[Any] | None = None
    ) -> None:
        tier = ready()
        self.session: AgentSession[Any] = AgentSession(
            llm=model, tts=voice or SyntheticTTS(), vad=None, conn_options=connect_options(tier), user_away_timeout=None
        )
        self.sent: list[Observation] = []
        self.speaker = Loudspeaker()
        self.session.output.audio = self.speaker
        self.apology = Apology(self.session, tier, LoopClock(), self.sent.append, language=language)
        self.apology.watch()
        self.agent = agent or Agent(instructions="")

    async def __aenter__(self) -> Talk:
        await self.session.start(self.agent)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.apology.end()
        await self.session.aclose()

    def asks(self) -> None:
        self.session.generate_reply(user_input="Well?")


async def answers(send: Callable[..., None]) -> None:
    send("Yes, certainly.")


async def hangs(_: Callable[..., None]) -> None:
    await asyncio.get_running_loop().create_future()


async def clings(_: Callable[..., None]) -> None:
    """Hangs, and takes half a minute to be cancelled: a socket that is closed politely."""
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        await asyncio.sleep(30.0)


async def refuses(_: Callable[..., None]) -> None:
    raise APIStatusError("too many requests", status_code=429)


@pytest.mark.parametrize(
    ("fault", "begins_s"), [(hangs, 5.0), (clings, 6.0), (refuses, 1.6)], ids=["hangs", "clings", "refuses"]
)
def test_a_turn_that_fails_is_apologised_for_and_the_next_is_answered(fault: Any, begins_s: float) -> None:
    async def scene() -> Talk:
        model = ScriptedLLM(fault)
        async with Talk(model) as talk:
            talk.asks()
            await asyncio.sleep(20.0)
            model.script = answers
            talk.asks()
            await asyncio.sleep(40.0)
        return talk

    talk = run(scene())
    (apology_at_s, length_s), (answer_at_s, _) = talk.speaker.heard
    assert apology_at_s == pytest.approx(begins_s, abs=0.3)
    assert length_s == APOLOGY_S
    assert answer_at_s == pytest.approx(20.0, abs=0.5)
    [apology] = [one for one in talk.sent if isinstance(one, ApologySpoken)]
    assert apology == ApologySpoken("unanswered")
    assert apology.waited_s == pytest.approx(begins_s, abs=0.3)
    assert all(item.role != "assistant" or "Sorry" not in (item.text_content or "") for item in messages(talk))


@pytest.mark.parametrize(
    ("fault", "kinds"),
    [(hangs, ["timeout"]), (clings, ["timeout"]), (refuses, ["refused", "refused"])],
    ids=["hangs", "clings", "refuses"],
)
def test_who_fails_is_counted_with_its_stage_even_when_the_apology_cuts_it_off(fault: Any, kinds: list[str]) -> None:
    async def scene() -> Talk:
        async with Talk(limited(ScriptedLLM(fault))) as talk:
            talk.asks()
            await asyncio.sleep(20.0)
        return talk

    talk = run(scene())
    assert [one for one in talk.sent if isinstance(one, ProviderFailure)] == [ProviderFailure("llm", k) for k in kinds]


def test_a_voice_that_hangs_is_blamed_and_not_the_llm_that_has_spoken() -> None:
    async def scene() -> Talk:
        voice = Stuck()
        limit_tts(voice, 5.0)
        async with Talk(limited(ScriptedLLM(answers)), voice=voice) as talk:
            talk.asks()
            await asyncio.sleep(20.0)
        return talk

    assert ProviderFailure("tts", "timeout") in run(scene()).sent


def test_an_agent_that_never_asks_a_provider_is_none_of_their_doing() -> None:
    class Ponders(Agent):
        async def llm_node(self, *_: Any) -> Any:
            await asyncio.get_running_loop().create_future()
            yield ""

    async def scene() -> Talk:
        async with Talk(limited(ScriptedLLM(answers)), Ponders(instructions="")) as talk:
            talk.asks()
            await asyncio.sleep(20.0)
        return talk

    assert [one for one in run(scene()).sent if isinstance(one, ProviderFailure)] == [
        ProviderFailure("other", "timeout")
    ]


def test_the_apology_is_in_the_language_of_the_call() -> None:
    async def scene() -> Talk:
        async with Talk(ScriptedLLM(refuses), language="es-MX") as talk:
            talk.asks()
            await asyncio.sleep(20.0)
        return talk

    ((_, length_s),) = run(scene()).speaker.heard
    assert length_s == pytest.approx(5.48, abs=0.1)


class Mute(SyntheticTTS):
    """Refuses whatever it is to say."""

    def synthesize(self, text: str, *, conn_options: Any = DEFAULT_API_CONNECT_OPTIONS) -> Any:
        return _Refusal(tts=self, input_text=text, conn_options=conn_options)


class _Refusal(ChunkedStream):
    async def _run(self, output_emitter: Any) -> None:
        raise APIStatusError("no voice", status_code=400)


class Stuck(SyntheticTTS):
    """Never begins."""

    def synthesize(self, text: str, *, conn_options: Any = DEFAULT_API_CONNECT_OPTIONS) -> Any:
        return _Wait(tts=self, input_text=text, conn_options=conn_options)


class _Wait(ChunkedStream):
    async def _run(self, output_emitter: Any) -> None:
        await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(("voice", "heard_s"), [(SyntheticTTS, 3.8), (Mute, 3.45), (Stuck, 3.45)])
def test_without_a_recording_the_tts_says_it_and_if_it_cannot_another_recording_is_played(
    voice: type[SyntheticTTS], heard_s: float
) -> None:
    async def scene() -> Talk:
        async with Talk(ScriptedLLM(refuses), language="it", voice=voice()) as talk:
            talk.asks()
            await asyncio.sleep(30.0)
        return talk

    talk = run(scene())
    assert [length for _, length in talk.speaker.heard] == [pytest.approx(heard_s, abs=0.4)]
    assert [one for one in talk.sent if isinstance(one, ApologySpoken)] == [ApologySpoken("unanswered")]
    assert "Mi scusi" not in str(messages(talk))


def messages(talk: Talk) -> Any:
    return talk.session.history.messages()


def test_many_failures_in_a_row_do_not_end_the_call() -> None:
    async def scene() -> Talk:
        model = ScriptedLLM(refuses)
        async with Talk(model) as talk:
            for _ in range(6):
                talk.asks()
                await asyncio.sleep(8.0)
            model.script = answers
            talk.asks()
            await asyncio.sleep(5.0)
        return talk

    talk = run(scene())
    assert len(talk.speaker.heard) == 7
    assert talk.sent.count(ApologySpoken("unanswered")) == 6


def test_a_greeting_that_does_not_come_out() -> None:
    class Greeter(Agent):
        async def on_enter(self) -> None:
            self.session.generate_reply(instructions="Greet.", allow_interruptions=False)

    async def scene() -> Talk:
        async with Talk(ScriptedLLM(hangs), Greeter(instructions="")) as talk:
            await asyncio.sleep(15.0)
        return talk

    talk = run(scene())
    assert [length for _, length in talk.speaker.heard] == [APOLOGY_S]
    assert ApologySpoken("greeting") in talk.sent


def test_a_greeting_that_the_caller_did_not_hear() -> None:
    class Greeter(Agent):
        async def on_enter(self) -> None:
            self.session.generate_reply(instructions="Greet.", allow_interruptions=False)

    async def scene() -> Talk:
        async with Talk(ScriptedLLM(answers), Greeter(instructions="")) as talk:
            await asyncio.sleep(15.0)  # The caller says nothing, and waits as the agent does.
            talk.asks()
            await asyncio.sleep(30.0)
        return talk

    talk = run(scene())
    (greeted_at_s, greeting_s), (again_at_s, length_s), _ = talk.speaker.heard
    assert again_at_s == pytest.approx(greeted_at_s + greeting_s + 8.0, abs=0.3)
    assert length_s == APOLOGY_S
    assert talk.sent == [ApologySpoken("no_input")]


def test_a_slow_tool_is_announced_and_its_answer_comes() -> None:
    class Booker(Agent):
        @function_tool
        async def book(self) -> str:
            """Book."""
            await asyncio.sleep(12.0)
            return "booked"

    async def books(send: Callable[..., None]) -> None:
        model.script = answers
        send(tool="book")

    model = ScriptedLLM(books)

    async def scene() -> Talk:
        async with Talk(model, Booker(instructions="")) as talk:
            talk.asks()
            await asyncio.sleep(30.0)
        return talk

    talk = run(scene())
    (announced_s, length_s), (answered_s, _) = talk.speaker.heard
    assert announced_s == pytest.approx(5.0, abs=0.3)
    assert length_s == WORKING_S
    assert answered_s == pytest.approx(12.0, abs=0.5)
    assert talk.sent == [ApologySpoken("working")]


def test_without_faults_nothing_is_said_or_told() -> None:
    async def scene() -> Talk:
        async with Talk(ScriptedLLM(answers)) as talk:
            for _ in range(3):
                talk.asks()
                await asyncio.sleep(10.0)
        return talk

    talk = run(scene())
    assert len(talk.speaker.heard) == 3
    assert talk.sent == []


def test_what_was_lost_with_the_line_is_asked_for_again() -> None:
    async def scene() -> Talk:
        async with Talk(ScriptedLLM(answers)) as talk:
            talk.asks()
            await asyncio.sleep(10.0)
            talk.apology.reconnected()
            await asyncio.sleep(10.0)
        return talk

    talk = run(scene())
    _, (asked_at_s, length_s) = talk.speaker.heard
    assert asked_at_s == pytest.approx(10.0 + RECONNECT_GRACE_S, abs=0.3)
    assert length_s == APOLOGY_S
    assert talk.sent == [ApologySpoken("connection_lost")]
