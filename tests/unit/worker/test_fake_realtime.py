"""The realtime model of the tests, in a session without a room: it greets, answers, and expires as the real ones do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession

from support.fake_realtime import FakeRealtimeModel
from voicefleet.local.pcm import voiced_tone

pytestmark = pytest.mark.unit


class _Greets(Agent):
    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Greet the caller.")


def _frames(seconds: float, *, loud: bool) -> list[rtc.AudioFrame]:
    samples = voiced_tone(seconds, 16_000).samples if loud else (voiced_tone(seconds, 16_000).samples * 0)
    return [
        rtc.AudioFrame(part.tobytes(), 16_000, 1, len(part))
        for part in (samples[i : i + 160] for i in range(0, len(samples), 160))
    ]


async def _spoken(session: AgentSession[Any], count: int) -> list[str]:
    async with asyncio.timeout(5):
        while True:
            said = [m.text_content or "" for m in session.history.messages() if m.role == "assistant"]
            if len(said) >= count:
                return said
            await asyncio.sleep(0.02)


async def test_it_greets_when_asked_and_answers_each_turn() -> None:
    model = FakeRealtimeModel(latency_s=0.01)
    session: AgentSession[Any] = AgentSession(llm=model)
    await session.start(_Greets(instructions="Help."))
    assert await _spoken(session, 1) == ["Hello, this is the realtime agent."]
    for frame in [*_frames(0.5, loud=True), *_frames(0.6, loud=False)]:
        model.sessions[0].push_audio(frame)
    assert (await _spoken(session, 2))[1:] == ["We are open from nine to five."]
    users = [m.text_content for m in session.history.messages() if m.role == "user"]
    assert users == ["What are your opening hours?"]
    await session.aclose()


async def test_an_expired_session_closes_the_call_s_session_with_an_error() -> None:
    model = FakeRealtimeModel(latency_s=0.01, expires_s=0.05)
    session: AgentSession[Any] = AgentSession(llm=model)
    closed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    session.on("close", closed.set_result)
    await session.start(Agent(instructions="Help."))
    async with asyncio.timeout(5):
        event = await closed
    assert (event.reason.value, event.error.recoverable) == ("error", False)
