"""A team's agent that counts questions, and whose errors say what its caller said."""

from __future__ import annotations

import asyncio
import logging

from livekit.agents import Agent, llm

from support.counting_agent import Counting
from voicefleet.worker.call import CallContext

CARD = "4111 1111"

log = logging.getLogger("my_agent")


class Leaky(Counting):
    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        await super().on_user_turn_completed(turn_ctx, new_message)
        log.info(f"the caller said my card is {CARD}")
        self._lost = asyncio.create_task(self._charge())
        raise ValueError(f"no such card: my card is {CARD}")

    async def _charge(self) -> None:
        raise RuntimeError(f"declined: {CARD}")


def create(call: CallContext) -> Agent:
    return Leaky(call)
