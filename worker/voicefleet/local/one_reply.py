"""A local stage in the language model's place that decides at once: one reply or one tool call, in one piece."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from livekit.agents import APIConnectOptions, NotGivenOr, llm, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN


class OneReplyLLM(llm.LLM[Any]):
    """For livekit-agents an LLM whose stream has one chunk."""

    required_models: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def reply(self, chat_ctx: llm.ChatContext, offered: set[str]) -> llm.ChoiceDelta:
        """What to say or do next in this conversation, with the tools that are `offered`."""

    @property
    def provider(self) -> str:
        return "voicefleet-local"

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> llm.LLMStream:
        offered = [] if tool_choice == "none" else tools or []
        return _OneReply(self, chat_ctx=chat_ctx, tools=offered, conn_options=conn_options)


class _OneReply(llm.LLMStream):
    async def _run(self) -> None:
        assert isinstance(self._llm, OneReplyLLM)
        delta = self._llm.reply(self._chat_ctx, set(llm.ToolContext(self._tools).function_tools))
        self._event_ch.send_nowait(llm.ChatChunk(id=utils.shortuuid("reply_"), delta=delta))
