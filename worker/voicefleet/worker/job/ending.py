"""Why the agent's part in a call ends: on purpose, or not. On purpose, the call is released and nobody is sent there.

It is on purpose when the team's code asks `call.release(reason)`, or shuts the session or the job down while a caller
is there (a tool that ends the call, a human who took over, a voicemail), and when somebody removes the agent, or the
last caller, from the room. An error, a caller that leaves, a lost claim, a drain and the death of the process are not:
the call is served again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from livekit import rtc
from livekit.agents import AgentSession, JobContext
from livekit.agents.voice.events import CloseReason

from voicefleet.contract.aside import ReleaseReason
from voicefleet.contract.callers import is_caller
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.worker.job import sdk
from voicefleet.worker.job.caller_link import callers_in, presence_of
from voicefleet.worker.job.claim_lease import ClaimLease
from voicefleet.worker.job.crash_pause import crash_pause_s

_ON_PURPOSE = frozenset({CloseReason.USER_INITIATED, CloseReason.TASK_COMPLETED})
_REMOVED = rtc.DisconnectReason.PARTICIPANT_REMOVED
_MAX_WORD = 48

log = get_logger(__name__)


def word_of(reason: str) -> str:
    """`reason` as one word that may be shown and logged; empty when nothing of it is left."""
    return re.sub(r"[^a-z0-9_.-]+", "_", reason.lower()).strip("_.-")[:_MAX_WORD]


async def _nothing() -> None:
    pass


class Ending:
    """Decides once, and releases the call at once: a process that dies while it closes must bring no agent back.

    Args:
        released: told the reason, once, when the call is released.
    """

    def __init__(self, ctx: JobContext, lease: ClaimLease, released: Callable[[ReleaseReason], None]) -> None:
        self._ctx = ctx
        self._lease = lease
        self._released = released
        self._shutdown = sdk.take_shutdown(ctx, self._on_shutdown)
        self.before_release: Callable[[], Awaitable[None]] = _nothing
        """To be awaited, for a moment, before the call is released."""
        self._session_closed = False
        self._session_began_s = 0.0
        self._word = ""
        self._task: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Hear of the room's events; before it is connected."""
        self._ctx.room.on("participant_disconnected", self._on_participant_left)
        self._ctx.room.on("disconnected", self._on_disconnected)

    def watch_session(self, session: AgentSession[Any]) -> None:
        """Hear of the session's end; before it starts."""
        self._session_began_s = asyncio.get_running_loop().time()
        session.on("close", self._on_close)

    def leave(self, why: str) -> None:
        """End the job; not the team's wish."""
        self._shutdown(why)

    def release(self, reason: str) -> None:
        """The team's code asked for it; its session is shut down now, and what it is saying is said to the end."""
        self._word = self._word or word_of(reason) or ReleaseReason.RELEASED.value

    async def finish(self) -> None:
        """At the end of the job: give the claim back."""
        if self._task is None and self._word:
            self._decide(ReleaseReason.RELEASED)
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        if not self._lease.released:
            await self._lease.release()

    def _on_close(self, event: Any) -> None:
        self._session_closed = True
        if self._word:
            self._decide(ReleaseReason.RELEASED)
        elif event.reason in _ON_PURPOSE and self._caller_there():
            self._decide(ReleaseReason.SESSION_CLOSED)
        loop, pause_s = asyncio.get_running_loop(), 0.0
        if event.reason == CloseReason.ERROR and self._caller_there():
            pause_s = crash_pause_s(loop.time() - self._session_began_s, self._lease.epoch)
        if pause_s:
            log.error("sessions of this call fail one after the other", jobs=self._lease.epoch, pause_s=pause_s)
            loop.call_later(pause_s, self.leave, "session closed")
        else:
            self.leave("session closed")

    def _on_shutdown(self, reason: str) -> None:
        """The team's code ended the job. What closed its session before that has decided already."""
        if not self._session_closed and not self._word and self._caller_there():
            self._decide(ReleaseReason.JOB_SHUTDOWN)
        self._shutdown(reason)

    def _on_participant_left(self, who: rtc.RemoteParticipant) -> None:
        if who.disconnect_reason == _REMOVED and is_caller(presence_of(who)) and not self._caller_there():
            self._decide(ReleaseReason.CALLER_REMOVED)
            self.leave("caller removed")

    def _on_disconnected(self, reason: Any) -> None:
        if reason == _REMOVED:
            self._decide(ReleaseReason.AGENT_REMOVED)

    def _caller_there(self) -> bool:
        return bool(callers_in(self._ctx.room))

    def _decide(self, reason: ReleaseReason) -> None:
        if self._task is None and not self._lease.lost:
            self._task = asyncio.create_task(self._release(reason))

    async def _release(self, reason: ReleaseReason) -> None:
        word = f"{reason.value}:{self._word}" if self._word and self._word != reason.value else reason.value
        if reason is not ReleaseReason.AGENT_REMOVED:
            # Who removed the agent, the claim tells: it may be a recovery.
            await self.before_release()
        if await self._lease.release(word):
            log.info("the call is released, nobody is sent there again", reason=word)
            self._released(reason)
