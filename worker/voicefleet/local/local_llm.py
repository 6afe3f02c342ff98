"""What every local stage in the language model's place has in common: it is called as livekit-agents calls an LLM."""

from __future__ import annotations

from typing import Any, ClassVar

from livekit.agents import APIConnectOptions, NotGivenOr, llm
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN


class LocalLLM(llm.LLM[Any]):
    """An LLM whose replies are streams of the class `stream`, made of the LLM, the conversation and the tools."""

    required_models: ClassVar[tuple[str, ...]] = ()
    stream: ClassVar[type[llm.LLMStream]]

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
        """One reply; with `tool_choice="none"` no tool is offered."""
        offered = [] if tool_choice == "none" else tools or []
        return self.stream(self, chat_ctx=chat_ctx, tools=offered, conn_options=conn_options)
