"""Restores a call that another agent had: the conversation, what the agent kept, and the first words."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from livekit.agents import Agent, AgentSession
from livekit.agents.llm import ChatContext, ChatItem, ChatMessage, RealtimeError

from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.errors import error_summary
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.worker.call import ASKED_AGAIN, HANDED_OVER, RECOVERED, RETURNED, CallContext
from voicefleet.worker.conversation.current_agent import CurrentAgent
from voicefleet.worker.conversation.transcript import CallTranscript, Loss
from voicefleet.worker.conversation.userdata import UserdataChanges
from voicefleet.worker.conversation.work import kind_of
from voicefleet.worker.job import sdk
from voicefleet.worker.telemetry.observations import HookFailed, Observation, Resumed

LONGEST_QUOTE = 120
CHANGE_LIMIT_S = 3.0
"""For an agent of the team to be in the session: the caller waits for it."""
RESUME_LIMIT_S = 3.0
"""A successor hears the caller only after `on_resume`."""
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
    """What an agent does first in a call that another one had. After a handoff nothing: the caller must not notice.
    A caller who left and is back is not told sorry: it hears the agent's last sentence, or the answer that is due."""
    if why not in (RECOVERED, RETURNED):
        return Opening("")
    told = [item for item in past if item.type in _STORED and getattr(item, "role", "") not in ("system", "developer")]
    if told and not (isinstance(told[-1], ChatMessage) and told[-1].role == "assistant"):
        return Opening(phrases.answer.strip() if why == RECOVERED else "", answer=True)
    last = last_sentence(told[-1].text_content or "") if told and isinstance(told[-1], ChatMessage) else ""
    return Opening(phrases.resume.replace("{last}", last).strip() if why == RECOVERED else last)


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
        agents: which of the team's agents has the call.
        userdata: the session's.
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
        agents: CurrentAgent,
        userdata: UserdataChanges,
        clock: Clock,
        lost: Callable[[Loss], None],
        send: Callable[[Observation], None],
    ) -> None:
        self._session = session
        self._call = call
        self._before = before
        self._phrases = phrases
        self._agents = agents
        self._userdata = userdata
        self._clock = clock
        self._lost = lost
        self._send = send
        self._agent: Agent | None = None
        self._running: set[asyncio.Task[bool]] = set()

    async def prepare(self, first: Agent) -> Agent:
        """The agent that the session is to start with, knowing what was said: `first`, or the one that had the call."""
        self._agents.begin(first)
        self._agent = first
        if self._before is not None:
            # A job that still has the call may yet end its work.
            cut = [] if self._call.resumed == HANDED_OVER else cut_off(self._before)
            self._agent = await self._chosen(self._before, cut)
        if self._call.resumed:
            _enter_by(self._agent, self._open)
        return self._agent

    async def take_over(self, transcript: CallTranscript | None) -> None:
        """The call is ours: know what was said up to now, and speak."""
        started = agent = self._agent
        assert agent is not None, "prepare() comes first"
        again = False
        if transcript is not None:
            self._call.kept.clear()
            self._call.kept.update(transcript.kept)
            agent = self._agent = await self._chosen(transcript, cut_off(transcript))
            again = self._enters_again(agent, transcript)
            if agent is not started or again:
                await self._change_to(agent, silent=not again)
        self._session.output.set_audio_enabled(True)
        self._send(Resumed(HANDED_OVER))
        if not again:
            await self._bounded_resume(agent)

    async def _chosen(self, transcript: CallTranscript, cut: list[str]) -> Agent:
        """The agent that had the call last, with its conversation, and the userdata. It is told what was cut off."""
        self._userdata.restore(transcript.userdata)
        agent = self._agents.choose(transcript.agent)
        if self._enters_again(agent, transcript):
            cut = [name for name in cut if kind_of(name) not in ("task", "on_enter")]
        self._call.cut[:] = cut
        await self._restore(agent, transcript)
        return agent

    def _enters_again(self, agent: Agent, transcript: CallTranscript) -> bool:
        """Its `on_enter` was cut off while it waited for a task: the task is asked for once more."""
        return bool(transcript.agent.get("entering")) and getattr(agent, "on_resume", None) is None

    async def _change_to(self, agent: Agent, *, silent: bool) -> None:
        """Have `agent` in the session, `silent` without its `on_enter`: the caller must not notice."""
        entered = asyncio.Event()

        async def enter() -> None:
            entered.set()
            if not silent:
                await agent.on_enter()

        _enter_by(agent, enter)
        # The one that this job began with never had the call: it has nothing to say at parting.
        vars(self._session.current_agent)["on_exit"] = _nothing
        self._session.update_agent(agent)
        try:
            async with asyncio.timeout(CHANGE_LIMIT_S):
                await entered.wait()
        except TimeoutError:
            log.error("the agent that had the call is not in the session yet", limit_s=CHANGE_LIMIT_S)
        vars(agent).pop("on_exit", None)

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
        if self._call.cut:
            past.append(_told_of_cut(self._call.cut, max((item.created_at for item in past), default=0.0)))
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
        self._send(Resumed(self._call.resumed))
        agent = self._session.current_agent
        first = opening(self._call.resumed, self._session.history.items, self._phrases)
        if await self._own_resume(agent, self._call.resumed):
            return
        again = self._before is not None and self._enters_again(agent, self._before)
        if again or self._call.resumed == ASKED_AGAIN:
            await agent.on_enter()
            return
        self._speak_first(first)

    async def carry_on(self) -> None:
        """The caller left and is back while this job still has the call: it must hear that somebody is there."""
        self._send(Resumed(RETURNED))
        first = opening(RETURNED, self._session.history.items, self._phrases)
        if not await self._own_resume(self._session.current_agent, RETURNED):
            self._speak_first(first)

    def _speak_first(self, first: Opening) -> None:
        if not sdk.can_say(self._session):
            if instructions := spoken_by_model(first):
                self._session.generate_reply(instructions=instructions)
            return
        if first.words:
            # Not in the conversation: after another fault these are not the words to go back to.
            self._session.say(first.words, add_to_chat_ctx=False)
        if first.answer:
            self._session.generate_reply()

    async def _own_resume(self, agent: Agent, why: str) -> bool:
        """Call the agent's `on_resume` if it has one; True when it has done its part."""
        hook = getattr(agent, "on_resume", None)
        if hook is None:
            return False
        try:
            await hook(why)
        except Exception as error:
            log.warning("the agent's on_resume failed, the call goes on without it", error=type(error).__name__)
            self._send(HookFailed("on_resume"))
            self._drop_kept()
            return False
        return True

    async def _bounded_resume(self, agent: Agent) -> None:
        """Call `on_resume`; one that does not end goes on beside the call."""
        running = asyncio.create_task(self._own_resume(agent, self._call.resumed))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        done, _ = await asyncio.wait({running}, timeout=RESUME_LIMIT_S)
        if not done:
            log.warning("the agent's on_resume has not ended, the call goes on beside it", limit_s=RESUME_LIMIT_S)
            self._send(HookFailed("on_resume"))

    def _drop_kept(self) -> None:
        self._call.kept.clear()
        self._lost(Loss.RESTORE_FAILED)


async def _nothing() -> None: ...


def cut_off(transcript: CallTranscript) -> list[str]:
    """Names of what was under way in the job that wrote `transcript`, and ended with it."""
    refused = transcript.agent.get("refused")
    return [*transcript.work, *([str(refused)] if refused else [])]


def _told_of_cut(cut: list[str], at_s: float) -> ChatMessage:
    names = ", ".join(cut)
    text = (
        f"This was cut off before it ended, and has no result: {names}. "
        "Do not say that it succeeded; start it again if it is still wanted."
    )
    return ChatMessage(role="system", content=[text], created_at=at_s)


def _enter_by(agent: Agent, enter: Callable[[], Any]) -> None:
    """Have `enter` called in place of the agent's next `on_enter`, which would greet again."""

    async def once() -> None:
        vars(agent).pop("on_enter", None)
        await enter()

    vars(agent)["on_enter"] = once
