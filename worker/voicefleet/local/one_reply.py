"""A local stage in the language model's place that decides at once: one reply or one tool call, in one piece."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from livekit.agents import llm, utils

from voicefleet.local.local_llm import LocalLLM


class _OneReply(llm.LLMStream):
    async def _run(self) -> None:
        assert isinstance(self._llm, OneReplyLLM)
        delta = self._llm.reply(self._chat_ctx, set(llm.ToolContext(self._tools).function_tools))
        self._event_ch.send_nowait(llm.ChatChunk(id=utils.shortuuid("reply_"), delta=delta))


class OneReplyLLM(LocalLLM):
    """For livekit-agents an LLM whose stream has one chunk."""

    stream: ClassVar[type[llm.LLMStream]] = _OneReply

    @abstractmethod
    def reply(self, chat_ctx: llm.ChatContext, offered: set[str]) -> llm.ChoiceDelta:
        """What to say or do next in this conversation, with the tools that are `offered`."""
