"""An agent that answers as the default one does, and reports each answered question as a task that is done."""

from __future__ import annotations

from livekit.agents import Agent, llm

from voicefleet.worker.agents import Assistant
from voicefleet.worker.call import CallContext


class Reporting(Assistant):
    def __init__(self, call: CallContext) -> None:
        super().__init__("Hello, how can I help you?")
        self._call = call

    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        self._call.report(success=True, task="question")


def create(call: CallContext) -> Agent:
    """For `--agent`."""
    return Reporting(call)
