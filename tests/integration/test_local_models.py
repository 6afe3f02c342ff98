"""The models that packages carry, in a real model server. Set-up brings SmolLM2 where it has wheels for the machine;
Piper is GPL-3, so nothing of ours installs it and its test is skipped until somebody does: all but the voice itself is
in tests/unit/local."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from livekit.agents import APIConnectOptions, llm

from voicefleet.contract.errors import MissingPartError
from voicefleet.local.model_server.keeper import ModelServer
from voicefleet.local.model_server.packages import require_models
from voicefleet.local.piper_tts import SAMPLE_RATE, PiperTTS
from voicefleet.local.smollm import SmolLM
from voicefleet.tasks.agent import INSTRUCTIONS, DeskAgent
from voicefleet.tasks.desk import Desk

pytestmark = pytest.mark.integration

OPTIONS = APIConnectOptions(max_retry=0, timeout=30.0)


@pytest.fixture
async def served(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The socket of a server with the model that the test names."""
    try:
        require_models([request.param], "test")
    except MissingPartError as error:
        pytest.skip(str(error))
    async with ModelServer([request.param]) as server:
        yield str(server.socket_path)


@pytest.mark.parametrize("served", ["smollm2"], indirect=True)
async def test_the_language_model_calls_a_tool_of_the_desk(served: str) -> None:
    context = llm.ChatContext.empty()
    context.add_message(role="system", content=INSTRUCTIONS)
    context.add_message(role="user", content="We cannot come after all. The booking is for Holmes.")
    calls = []
    stream = SmolLM(socket_path=served).chat(
        chat_ctx=context, tools=llm.ToolContext(DeskAgent(Desk()).tools).flatten(), conn_options=OPTIONS
    )
    async with stream:
        async for chunk in stream:
            calls += chunk.delta.tool_calls if chunk.delta is not None else []
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [("cancel", {"name": "holmes"})]


@pytest.mark.parametrize("served", ["piper"], indirect=True)
async def test_the_voice_speaks_at_its_rate(served: str) -> None:
    frame = await PiperTTS(socket_path=served).synthesize("We are open. Goodbye.", conn_options=OPTIONS).collect()
    assert frame.sample_rate == SAMPLE_RATE
    assert 1.0 < frame.duration < 4.0
