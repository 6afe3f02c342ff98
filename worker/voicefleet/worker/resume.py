"""How an agent carries on with a call that another agent had: the conversation, what was kept, the first words."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from livekit import rtc
from livekit.agents import Agent, AgentSession
from livekit.agents.llm import ChatContext, ChatMessage

from voicefleet.runtime.logs import get_logger
from voicefleet.worker.call import AgentFactory, CallContext
from voicefleet.worker.memory import Remembered

LONGEST_QUOTE = 120

log = get_logger(__name__)


def remember(session: AgentSession[Any], tier: str, kept: dict[str, Any]) -> Remembered:
    """The conversation of `session` now."""
    plain = session.history.copy(
        exclude_instructions=True, exclude_empty_message=True, exclude_handoff=True, exclude_config_update=True
    )
    return Remembered(tier, plain.to_dict(exclude_timestamp=False, exclude_metrics=True)["items"], dict(kept))


def unanswered(chat: ChatContext) -> bool:
    """Whether the caller said the last word."""
    said = [item for item in chat.items if isinstance(item, ChatMessage) and item.role in ("user", "assistant")]
    return bool(said) and said[-1].role == "user"


def phrase(template: str, chat: ChatContext) -> str:
    """`template` with ``{last}`` as the last sentence that the agent said, if that is short enough to say again."""
    said = [i.text_content or "" for i in chat.items if isinstance(i, ChatMessage) and i.role == "assistant"]
    sentences = re.findall(r"[^.!?]+[.!?]*", said[-1].strip()) if said else []
    last = sentences[-1].strip() if sentences else ""
    return template.replace("{last}", last if len(last) <= LONGEST_QUOTE else "").strip()


class Resumption:
    """Makes the agent of one call, new or not, and has it carry on.

    Args:
        before: the conversation so far; None for a new call, or one whose memory is lost.
        template: first words after a recovery.
        note: takes observations for the worker's metrics.
    """

    def __init__(
        self,
        session: AgentSession[Any],
        call: CallContext,
        before: Remembered | None,
        template: str,
        note: Callable[[dict[str, Any]], None],
    ) -> None:
        self._session = session
        self._call = call
        self._before = before
        self._template = template
        self._note = note

    async def make_agent(self, factory: AgentFactory) -> Agent:
        """The team's agent; one that raises over what was kept is made again without it."""
        if not self._call.resumed:
            return await _made(factory, self._call)
        self._call.kept.update(self._before.kept if self._before else {})
        try:
            agent = await _made(factory, self._call)
        except Exception:
            log.exception("the agent's factory failed on a resumed call, trying without what was kept")
            self._failed()
            self._call.kept.clear()
            agent = await _made(factory, self._call)
        if self._before is not None:
            await self._restore(agent, self._before)
        # It would greet again.
        agent.on_enter = self._open  # type: ignore[method-assign]
        return agent

    async def start_silent(self, agent: Agent, room: rtc.Room) -> None:
        """Start as a successor: everything runs, but it neither hears nor speaks."""
        session = self._session
        session.input.set_audio_enabled(False)
        session.output.set_audio_enabled(False)
        await session.start(agent, room=room)
        session.input.set_audio_enabled(False)
        session.output.set_audio_enabled(False)

    async def take_over(self, agent: Agent, memory: Remembered | None) -> None:
        """The call is ours: know what was said up to now, hear and speak."""
        session = self._session
        session.output.set_audio_enabled(True)
        session.input.set_audio_enabled(True)
        if memory is not None:
            self._call.kept.clear()
            self._call.kept.update(memory.kept)
            await self._restore(agent, memory)
        self._note({"kind": "resumed", "why": "handed_over"})
        await self._own_resume(agent)

    async def _restore(self, agent: Agent, memory: Remembered) -> None:
        try:
            chat = ChatContext.from_dict({"items": memory.items})
        except ValueError as error:
            log.warning("the conversation cannot be restored, the call goes on", error=type(error).__name__)
            self._failed()
            return
        await agent.update_chat_ctx(agent.chat_ctx.copy().merge(chat), exclude_invalid_function_calls=False)
        # What is stored next is this history: old and new, each once.
        self._session.history.merge(chat)

    async def _open(self) -> None:
        """What a resumed agent does in place of `on_enter`."""
        if self._call.resumed == "handed_over":
            return
        self._note({"kind": "resumed", "why": "recovered"})
        session, chat = self._session, self._session.history
        if await self._own_resume(session.current_agent):
            return
        if unanswered(chat):
            session.generate_reply()
        elif words := phrase(self._template, chat):
            session.say(words)

    async def _own_resume(self, agent: Agent) -> bool:
        """Call the agent's `on_resume` if it has one; True when it has done its part."""
        hook = getattr(agent, "on_resume", None)
        if hook is None:
            return False
        try:
            await hook(self._call.resumed)
        except Exception:
            log.exception("the agent's on_resume failed, the call goes on without")
            self._failed()
            return False
        return True

    def _failed(self) -> None:
        self._note({"kind": "memory_lost", "reason": "restore_failed"})


async def _made(factory: AgentFactory, call: CallContext) -> Agent:
    made = factory(call)
    return await made if inspect.isawaitable(made) else made
