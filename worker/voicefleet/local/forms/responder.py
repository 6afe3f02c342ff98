"""The form responder as a stage of a tier: an LLM for livekit-agents that calls the agent's tools, by rules alone."""

from __future__ import annotations

import json
from typing import Any

from livekit.agents import llm, utils

from voicefleet.contract.errors import ConfigError
from voicefleet.local.forms.dialogue import CallTool, Dialogue, Heard, Item, Said, Speak, ToolDone
from voicefleet.local.forms.schema import read_rules
from voicefleet.local.one_reply import OneReplyLLM


class FormResponder(OneReplyLLM):
    """Asks for what a tool needs, calls it, and says what it gave back: about a millisecond a turn.

    Args:
        path: the rules file (see `forms.schema`); None for the built-in one of a restaurant's phone desk.
        repair: whether misheard words are mended, and sentences without a known word matched by likeness. Without it
            only the words of the rules file count, as they are written there.
        least_score: likeness from 0 to 1 below which a sentence is not understood.

    Raises:
        ConfigError: the file or `least_score` is wrong.
    """

    def __init__(self, *, path: str | None = None, repair: bool = True, least_score: float = 0.45) -> None:
        super().__init__()
        if not 0.0 <= least_score <= 1.0:
            raise ConfigError(
                "out of range", field="llm.args.least_score", value=least_score, hint="Use a number from 0 to 1."
            )
        self._dialogue = Dialogue(read_rules(path), repair=repair, least_score=least_score)

    @property
    def model(self) -> str:
        return "form-responder"

    def decide(self, chat_ctx: llm.ChatContext, offered: set[str]) -> Speak | CallTool:
        """What to do next in this conversation, with the tools that are `offered`."""
        return self._dialogue.next(conversation(chat_ctx), offered)

    def reply(self, chat_ctx: llm.ChatContext, offered: set[str]) -> llm.ChoiceDelta:
        decided = self.decide(chat_ctx, offered)
        if isinstance(decided, Speak):
            return llm.ChoiceDelta(role="assistant", content=decided.text)
        call = llm.FunctionToolCall(
            name=decided.tool, arguments=json.dumps(decided.arguments), call_id=utils.shortuuid("call_")
        )
        return llm.ChoiceDelta(role="assistant", tool_calls=[call])


def conversation(chat_ctx: llm.ChatContext) -> list[Item]:
    """What was said and done, oldest first; instructions and handoffs left out."""
    items: list[Item] = []
    arguments: dict[str, dict[str, Any]] = {}
    for item in chat_ctx.items:
        if item.type == "message" and item.role in ("user", "assistant"):
            text = item.text_content or ""
            items.append(Heard(text) if item.role == "user" else Said(text))
        elif item.type == "function_call":
            arguments[item.call_id] = _object(item.arguments)
        elif item.type == "function_call_output":
            items.append(ToolDone(item.name, arguments.get(item.call_id, {}), item.output, item.is_error))
    return items


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
