"""Restores a call that another agent had: the conversation, what the agent kept, and the first words."""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from livekit.agents import Agent, AgentSession
from livekit.agents.llm import ChatContext, ChatItem, ChatMessage, RealtimeError

from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.errors import error_summary
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.worker.call import HANDED_OVER, RECOVERED, RETURNED, CallContext
from voicefleet.worker.conversation.transcript import CallTranscript, Loss
from voicefleet.worker.job import sdk
from voicefleet.worker.telemetry.observations import Observation, Resumed

LONGEST_QUOTE = 120
_STORED = frozenset({"message", "function_call", "function_call_output"})

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Phrases:
    """First words after a recovery. `resume`: ``{last}`` is the agent's last sentence. `answer` comes before the answer
    to what the caller said last and nobody answered."""

    resume: str
    answer: str


@dataclass(frozen=True, slots=True)
class Opening:
    """What to do first: say `words`, then answer the caller or not."""

    words: str
    answer: bool = False


def opening(why: str, past: list[ChatItem], phrases: Phrases) -> Opening:
    """What an agent does first in a call that another one had. After a handoff nothing: the caller must not notice."""
    if why != RECOVERED:
        return Opening("")
    told = [item for item in past if item.type in _STORED and getattr(item, "role", "") not in ("system", "developer")]
    if told and not (isinstance(told[-1], ChatMessage) and told[-1].role == "assistant"):
        return Opening(phrases.answer.strip(), answer=True)
    last = last_sentence(told[-1].text_content or "") if told and isinstance(told[-1], ChatMessage) else ""
    return Opening(phrases.resume.replace("{last}", last).strip())


def last_sentence(text: str) -> str:
    """The last sentence of `text`, or as much of its beginning as 120 characters hold."""
    sentences = [s for s in re.split(r"(?<=[.!?…])\s+|(?<=[。！？])", text.strip()) if s]
    last = sentences[-1] if sentences else ""
    return last if len(last) <= LONGEST_QUOTE else last[: LONGEST_QUOTE - 1].rstrip() + "…"


def spoken_by_model(first: Opening) -> str:
    """`first` as an instruction to a speech-to-speech model, which has no other voice; empty: nothing is to be said.
    One reply for both parts: such a model does not give two at the same time."""
    words = f'Say exactly this, in the language it is in: "{first.words}"' if first.words else ""
    answer = "Answer what the caller said last." if first.answer else ""
    return " Then: ".join(part for part in (words, answer) if part)


def conversation(session: AgentSession[Any]) -> list[dict[str, Any]]:
    """What was said in `session`, and its function calls, without images and audio, as JSON."""
    plain = ChatContext([item for item in session.history.items if item.type in _STORED])
    items: list[dict[str, Any]] = plain.to_dict(exclude_timestamp=False, exclude_metrics=True)["items"]
    return items


class Resumption:
    """Restores the conversation of one call, when another agent had the call before.

    Args:
        before: the conversation so far; None for a new call, or one whose transcript is lost.
        lost: told what could not be restored.
        send: takes observations.
    """

    def __init__(
        self,
        session: AgentSession[Any],
        call: CallContext,
        before: CallTranscript | None,
        phrases: Phrases,
        *,
        clock: Clock,
        lost: Callable[[Loss], None],
        send: Callable[[Observation], None],
    ) -> None:
        self._session = session
        self._call = call
        self._before = before
        self._phrases = phrases
        self._clock = clock
        self._lost = lost
        self._send = send
        self._agent: Agent | None = None

    async def prepare(self, agent: Agent) -> Agent:
        """The agent that the session is to start with, knowing what was said."""
        self._agent = agent
        if self._before is not None:
            await self._restore(agent, self._before)
        if self._call.resumed == RETURNED:
            _enter_by(agent, functools.partial(self._return, agent, agent.on_enter))
        elif self._call.resumed:
            _enter_by(agent, self._open)
        return agent

    async def take_over(self, transcript: CallTranscript | None) -> None:
        """The call is ours: know what was said up to now, and speak."""
        agent = self._agent
        assert agent is not None, "prepare() comes first"
        if transcript is not None:
            self._call.kept.clear()
            self._call.kept.update(transcript.kept)
            await self._restore(agent, transcript)
        self._session.output.set_audio_enabled(True)
        self._send(Resumed(HANDED_OVER))
        await self._own_resume(agent)

    async def _restore(self, agent: Agent, transcript: CallTranscript) -> None:
        try:
            past = ChatContext.from_dict({"items": list(transcript.items)}).items
        except (ValueError, TypeError) as error:
            log.warning("the conversation is not restored: unreadable", error=type(error).__name__)
            self._lost(Loss.UNREADABLE)
            return
        past = [item for item in past if item.type in _STORED]
        # livekit sorts by time, and the clock of the machine that wrote this may be ahead of ours.
        ahead_s = max((item.created_at for item in past), default=0.0) - self._clock.wall().timestamp()
        for item in past:
            item.created_at -= max(0.0, ahead_s)
        known = {item.id for item in past}
        own = [item for item in agent.chat_ctx.items if item.id not in known]
        try:
            await agent.update_chat_ctx(ChatContext([*own, *past]), exclude_invalid_function_calls=False)
        except RealtimeError as error:
            # The call is ours by now, and its agent knows the conversation: its model hears of it with the next turns.
            log.warning("the model did not take the conversation, the call goes on", error=error_summary(error))
        # What is stored next is this history: old and new, each once.
        history = self._session.history
        history.items = [*(item for item in history.items if item.id not in known), *past]

    async def _open(self) -> None:
        """What a resumed agent does in place of its first `on_enter`."""
        if self._call.resumed == HANDED_OVER:
            return
        self._send(Resumed(RECOVERED))
        session = self._session
        first = opening(RECOVERED, session.history.items, self._phrases)
        if await self._own_resume(session.current_agent):
            return
        if not sdk.can_say(session):
            if instructions := spoken_by_model(first):
                session.generate_reply(instructions=instructions)
            return
        if first.words:
            # Not in the conversation: after another fault these are not the words to go back to.
            session.say(first.words, add_to_chat_ctx=False)
        if first.answer:
            session.generate_reply()

    async def _return(self, agent: Agent, enter: Callable[[], Awaitable[None]]) -> None:
        """What an agent that was asked for again does in place of its first `on_enter`."""
        self._send(Resumed(RETURNED))
        if not await self._own_resume(agent):
            await enter()

    async def _own_resume(self, agent: Agent) -> bool:
        """Call the agent's `on_resume` if it has one; True when it has done its part."""
        hook = getattr(agent, "on_resume", None)
        if hook is None:
            return False
        try:
            await hook(self._call.resumed)
        except Exception as error:
            log.warning("the agent's on_resume failed, the call goes on without it", error=type(error).__name__)
            self._drop_kept()
            return False
        return True

    def _drop_kept(self) -> None:
        self._call.kept.clear()
        self._lost(Loss.RESTORE_FAILED)


def _enter_by(agent: Agent, enter: Callable[[], Any]) -> None:
    """Have `enter` called in place of the agent's next `on_enter`, which would greet again."""

    async def once() -> None:
        vars(agent).pop("on_enter", None)
        await enter()

    vars(agent)["on_enter"] = once
