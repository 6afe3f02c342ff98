"""When the synthetic language model calls a tool, and when it speaks."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.agents import function_tool, llm

from voicefleet.local.synthetic import SyntheticLLM

pytestmark = pytest.mark.unit


@function_tool
async def find(day: str) -> str:
    """Finds."""
    return day


@function_tool
async def book() -> str:
    """Books."""
    return "done"


def conversation(*roles: llm.ChatRole) -> llm.ChatContext:
    context = llm.ChatContext.empty()
    for role in roles:
        context.add_message(role=role, content="words")
    return context


async def said(context: llm.ChatContext, tools: list[llm.Tool], **how: Any) -> tuple[str, list[str]]:
    """The words, and the tools that are called."""
    model = SyntheticLLM(ttft_s=0.0, tokens_per_s=1e6, calls={"find": {"day": "monday"}, "book": {}})
    words, called = "", []
    async with model.chat(chat_ctx=context, tools=tools, **how) as stream:
        async for chunk in stream:
            if chunk.delta is not None:
                words += chunk.delta.content or ""
                called += [f"{call.name} {call.arguments}" for call in chunk.delta.tool_calls]
    return words, called


async def test_a_turn_of_the_caller_calls_the_first_tool_on_offer() -> None:
    assert await said(conversation("user"), [find, book]) == ("", ['find {"day": "monday"}'])
    assert await said(conversation("user"), [book]) == ("", ["book {}"])


async def test_no_tool_is_called_twice_or_for_a_tools_output_or_before_the_caller_speaks() -> None:
    context = conversation("user")
    context.items.append(llm.FunctionCall(call_id="1", name="find", arguments="{}"))
    context.items.append(llm.FunctionCallOutput(call_id="1", name="find", output="monday", is_error=False))
    words, called = await said(context, [find, book])
    assert words
    assert called == []
    context.add_message(role="assistant", content="monday it is")
    context.add_message(role="user", content="please")
    assert (await said(context, [find, book]))[1] == ["book {}"]
    assert (await said(conversation("system"), [find]))[1] == []


async def test_tool_choice_none_is_heeded() -> None:
    words, called = await said(conversation("user"), [find], tool_choice="none")
    assert words
    assert called == []
