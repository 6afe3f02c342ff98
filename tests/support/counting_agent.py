"""An agent whose replies prove what it knows: how many questions its conversation has, and how it came to the call."""

from __future__ import annotations

import os
from typing import Any

from livekit.agents import Agent, llm

from voicefleet.worker.call import CallContext


class Counting(Agent):
    def __init__(self, call: CallContext) -> None:
        super().__init__(instructions="Count.")
        self._call = call
        call.kept["pid"] = os.getpid()

    async def on_enter(self) -> None:
        self.session.say("Hello, I count your questions.")

    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        kept = self._call.kept
        kept["turns"] = kept.get("turns", 0) + 1

    async def llm_node(self, chat_ctx: llm.ChatContext, tools: Any, model_settings: Any) -> str:
        asked = sum(message.role == "user" for message in chat_ctx.messages())
        return f"Question {asked}, {self._call.resumed or 'fresh'}."


class Greeting(Counting):
    """It has its own way to take a call up."""

    async def on_resume(self, why: str) -> None:
        if why == "recovered":
            self.session.say(f"I am back, {why}.")


def create(call: CallContext) -> Agent:
    """The room's name says which: ``own-...`` has an `on_resume`, ``raises-...`` cannot bear what was kept."""
    if call.room.startswith("raises-") and call.kept:
        raise ValueError("what is this?")
    return Greeting(call) if call.room.startswith("own-") else Counting(call)
