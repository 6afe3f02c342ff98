"""A call waits for a caller that left: not at all, as long as a page takes to reload, or longer.

What the agent was saying waits meanwhile. A caller that is back hears it, or else that somebody is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from livekit import rtc
from livekit.agents import AgentSession

from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.worker.job import sdk_work
from voicefleet.worker.job.caller_link import callers_in
from voicefleet.worker.job.voice import Voice

REPLACED_WITHIN_S = 0.5
"""A participant of the same identity that is there so soon after one that left replaced it."""
CLOSE_LIMIT_S = 2.0
"""A session that has not ended by then ends with its job."""
HEARS_AFTER_S = 0.6
"""From a caller's return until it hears: it must have the agent's track first."""

_STANDARD = rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD
_ORDERLY = frozenset(
    {
        rtc.DisconnectReason.CLIENT_INITIATED,
        rtc.DisconnectReason.USER_REJECTED,
        rtc.DisconnectReason.ROOM_DELETED,
    }
)
"""Reasons for which livekit-agents itself ends a session at once."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AfterLeave:
    """What follows when the last caller has left."""

    wait_s: float
    """The call is over when nobody is back by then."""
    orderly: bool
    """The caller left on purpose: the session ends as livekit-agents would have ended it."""
    may_return: bool = False
    """A page that reloads leaves in order, too. Its conversation is kept for a while longer than its job."""


def after_leave(
    kind: rtc.ParticipantKind.ValueType,
    reason: rtc.DisconnectReason.ValueType | None,
    *,
    closes: bool,
    return_wait_s: float,
    caller_gone_s: float,
) -> AfterLeave:
    """What follows when a caller of `kind` has left for `reason` (None: not known). Pure.

    Args:
        closes: the team's room options let a caller that leaves in order end the session (`close_on_disconnect`).
        return_wait_s: how long a job waits for a caller that may be back at once.
        caller_gone_s: how long it waits for one whose connection was lost.
    """
    if reason not in _ORDERLY or not closes:
        return AfterLeave(caller_gone_s, orderly=False)
    if kind == _STANDARD and reason == rtc.DisconnectReason.CLIENT_INITIATED and return_wait_s > 0:
        return AfterLeave(min(return_wait_s, caller_gone_s), orderly=True, may_return=True)
    # Who hangs up a telephone is gone.
    return AfterLeave(0.0, orderly=True)


class CallerWait:
    """Follows whether a caller is there, in one job.

    Args:
        first_s: how long the job waits for its first caller.
        speech_pending: whether the agent says something, or has something to say.
        carry_on: what the agent does when its caller left and is back.
        leave: ends the job; told why.
    """

    def __init__(
        self,
        room: rtc.Room,
        session: AgentSession[Any],
        voice: Voice,
        clock: Clock,
        *,
        return_wait_s: float,
        caller_gone_s: float,
        first_s: float,
        speech_pending: Callable[[], bool],
        carry_on: Callable[[], Awaitable[None]],
        leave: Callable[[str], None],
    ) -> None:
        self._room = room
        self._session = session
        self._voice = voice
        self._clock = clock
        self._return_wait_s = return_wait_s
        self._caller_gone_s = caller_gone_s
        self._first_s = first_s
        self._seen = False
        self._speech_pending = speech_pending
        self._carry_on = carry_on
        self._leave = leave
        self._closes = False
        self._timer: asyncio.TimerHandle | None = None
        self._carrying_on: asyncio.Task[None] | None = None
        self._left_at_s = 0.0
        """When a caller left, monotonic."""
        self._without_reason = False
        self.left_s = 0.0
        """When a caller that may be back left, Unix time; 0: no such caller is away."""

    def started(self) -> None:
        """The session has started: from here on we decide when it ends for a caller that left."""
        self._closes = sdk_work.take_over_leaving(self._session)

    def look(self, left: rtc.RemoteParticipant | None = None) -> None:
        """Somebody came, or went: `left`."""
        callers = callers_in(self._room)
        self._seen = self._seen or bool(callers)
        if callers and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            # A second tab puts the first one out of the room, and the SDK tells no reason for that.
            replaced = self._without_reason and self._clock.monotonic() - self._left_at_s <= REPLACED_WITHIN_S
            if self.left_s or replaced:
                self.left_s = 0.0
                self._carrying_on = asyncio.create_task(self._returned())
        elif not callers and self._timer is None:
            self._wait(left)

    async def end(self) -> None:
        """The job ends."""
        if self._timer is not None:
            self._timer.cancel()
        await cancel_and_wait(task for task in (self._carrying_on,) if task is not None)

    def kept_for_s(self) -> float:
        """How long the conversation of a caller that left, and may be back, is of use from now on."""
        return max(1.0, self._caller_gone_s - (self._clock.monotonic() - self._left_at_s))

    def _wait(self, left: rtc.RemoteParticipant | None) -> None:
        kind, reason = (left.kind, left.disconnect_reason) if left is not None else (_STANDARD, None)
        follows = after_leave(
            kind, reason, closes=self._closes, return_wait_s=self._return_wait_s, caller_gone_s=self._caller_gone_s
        )
        self._left_at_s = self._clock.monotonic()
        self._without_reason = left is not None and reason in (None, rtc.DisconnectReason.UNKNOWN_REASON)
        if follows.may_return:
            self.left_s = round(self._clock.wall().timestamp(), 3)
            self._voice.hold(True)
        wait_s = follows.wait_s if self._seen else self._first_s
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._gone, follows.orderly)

    def _gone(self, orderly: bool) -> None:
        if not orderly:
            self._leave("no caller in the room")
            return
        # Nobody hears it, and a session that ends waits for what it plays.
        self._voice.hold(False)
        sdk_work.close_as_left(self._session)
        self._timer = asyncio.get_running_loop().call_later(CLOSE_LIMIT_S, self._leave, "caller left")

    async def _returned(self) -> None:
        log.info("the caller is back")
        await self._clock.sleep(HEARS_AFTER_S)
        self._voice.hold(False)
        if not self.left_s and not self._speech_pending():
            await self._carry_on()
