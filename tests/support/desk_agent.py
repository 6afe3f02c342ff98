"""Agents that pass a call on and work beside it, as a team's do: a desk, billing, a search in the background."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import Any

from livekit.agents import Agent, RunContext, function_tool, llm

from voicefleet.worker.call import CallContext

SEARCH_S = 6.0


@dataclass
class Form:
    """The session's userdata."""

    questions: int = 0
    results: list[str] = field(default_factory=list)


class Counting(Agent):
    """Its answers prove which agent has the call, and what it knows of it."""

    def __init__(self, call: CallContext, **options: Any) -> None:
        super().__init__(instructions="Count.", **options)
        self.call = call
        call.kept["pid"] = os.getpid()

    async def llm_node(self, chat_ctx: llm.ChatContext, tools: Any, model_settings: Any) -> Any:
        form = self.session.userdata
        last = chat_ctx.items[-1]
        if isinstance(last, llm.ChatMessage) and last.role == "user":
            form.questions += 1
            if form.questions == 1 and (tool := self.tool()):
                yield llm.ChatChunk(
                    id="r",
                    delta=llm.ChoiceDelta(
                        role="assistant",
                        tool_calls=[llm.FunctionToolCall(name=tool, arguments="{}", call_id=f"{tool}-{os.getpid()}")],
                    ),
                )
                return
        cut = f", cut {', '.join(self.call.cut)}" if self.call.cut else ""
        results = f", {' and '.join(form.results)}" if form.results else ""
        yield f"Question {form.questions}, {self.name()}, {self.call.resumed or 'fresh'}{results}{cut}."

    def tool(self) -> str:
        return ""

    def name(self) -> str:
        return type(self).__name__


class Desk(Counting):
    async def on_enter(self) -> None:
        self.session.say("Hello, I count your questions.")

    def tool(self) -> str:
        return "search" if self.call.room.startswith("search") else "bill" if self.call.room.startswith("bill") else ""

    @function_tool
    async def bill(self) -> Agent:
        """Pass the call on."""
        return Billing(self.call, "gold", chat_ctx=self.chat_ctx)

    @function_tool
    async def search(self, context: RunContext[Form]) -> str:
        """Search in the background."""
        await context.update("I am looking.")
        await asyncio.sleep(SEARCH_S)
        context.userdata.results.append("found")
        return "found"


class Billing(Counting):
    def __init__(self, call: CallContext, plan: str, **options: Any) -> None:
        super().__init__(call, **options)
        self.plan = plan

    async def on_enter(self) -> None:
        self.session.say("This is billing.")

    def name(self) -> str:
        return f"Billing {self.plan}"


def create(call: CallContext) -> Any:
    return Desk(call), {"userdata": Form()}
