"""The agents of the scenarios in which a call works and changes agents: a desk, and billing with its background tool.

What they do is written to a journal, a line of JSON each, by which the run is judged: callers cannot hear it.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livekit.agents import Agent, RunContext, function_tool, llm

from voicefleet.chaos.settings import journal_path
from voicefleet.worker.call import CallContext

BOOKING_S = 5.0


@dataclass
class Progress:
    """The session's userdata."""

    questions: int = 0


class _Journaled(Agent):
    """Answers each question in a sentence; `tool` is called for the first question that this agent hears."""

    tool = ""

    def __init__(self, call: CallContext, **options: Any) -> None:
        super().__init__(instructions="Help the caller.", **options)
        self.call = call
        self.kept: dict[str, Any] = {}

    def note(self, what: str) -> None:
        line = {"room": self.call.room, "what": what, "agent": type(self).__name__, "resumed": self.call.resumed}
        with Path(journal_path()).open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(line) + "\n")

    async def llm_node(self, chat_ctx: llm.ChatContext, tools: Any, model_settings: Any) -> Any:
        last = chat_ctx.items[-1]
        if isinstance(last, llm.ChatMessage) and last.role == "user":
            self.session.userdata.questions += 1
            if self.tool and not self.kept.get("called"):
                self.kept["called"] = True
                call = llm.FunctionToolCall(name=self.tool, arguments="{}", call_id=f"{self.tool}-{id(self)}")
                yield llm.ChatChunk(id="r", delta=llm.ChoiceDelta(role="assistant", tool_calls=[call]))
                return
        self.note("answer")
        yield f"That was question {self.session.userdata.questions}, all is well."

    async def on_call_end(self, summary: Any) -> None:
        self.note("end")


class Desk(_Journaled):
    tool = "to_billing"

    async def on_enter(self) -> None:
        self.session.say("Hello, this is the desk.")

    @function_tool
    async def to_billing(self) -> Agent:
        """Pass the call on."""
        return Billing(self.call, chat_ctx=self.chat_ctx)


class Billing(_Journaled):
    tool = "book"

    async def on_enter(self) -> None:
        self.session.say("This is billing, what can I do?")

    @function_tool
    async def book(self, context: RunContext[Progress]) -> str:
        """Book, beside the conversation."""
        self.note("begun")
        await context.update("I am booking it.")
        await asyncio.sleep(BOOKING_S)
        self.note("booked")
        return "booked"


def create(call: CallContext) -> Any:
    return Desk(call), {"userdata": Progress()}
