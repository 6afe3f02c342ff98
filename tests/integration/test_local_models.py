"""The language model that a package carries, in a real model server: it calls the desk's tools, within its time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from livekit.agents import APIConnectOptions, llm

from voicefleet.local.model_server.keeper import ModelServer
from voicefleet.local.smollm import SmolLM
from voicefleet.tasks.agent import INSTRUCTIONS, DeskAgent
from voicefleet.tasks.desk import Desk

pytestmark = pytest.mark.integration

LIMIT_S = 20.0


@pytest.fixture
async def smollm() -> AsyncIterator[SmolLM]:
    async with ModelServer(["smollm2"]) as server:
        yield SmolLM(socket_path=str(server.socket_path))


async def decided(model: SmolLM, *talk: str) -> str | tuple[str, dict[str, object]]:
    """What it says, or the tool that it calls, after the caller and the desk said these in turns."""
    context = llm.ChatContext.empty()
    context.add_message(role="system", content=INSTRUCTIONS)
    for number, words in enumerate(talk):
        context.add_message(role="assistant" if number % 2 else "user", content=words)
    tools = llm.find_function_tools(DeskAgent(Desk()))
    options = APIConnectOptions(max_retry=0, timeout=LIMIT_S)
    said = ""
    async with model.chat(chat_ctx=context, tools=[*tools], conn_options=options) as stream:
        async for chunk in stream:
            if chunk.delta is None:
                continue
            said += chunk.delta.content or ""
            for call in chunk.delta.tool_calls:
                return call.name, json.loads(call.arguments)
    return said


async def test_a_tool_is_called_with_what_the_caller_said(smollm: SmolLM) -> None:
    assert await decided(smollm, "I want to cancel my table. My name is Holmes.") == ("cancel", {"name": "holmes"})
    assert await decided(smollm, "I want to cancel my table.") == "What name is it?"
    assert isinstance(await decided(smollm, "Is there parking?"), str)
