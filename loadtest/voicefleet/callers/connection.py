"""Joining and leaving one room, each in bounded time, whatever the SDK does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from livekit import rtc

from voicefleet.contract.api import CallTicket

_LEAVE_TIMEOUT_S = 5.0
_LEAVING: set[asyncio.Task[None]] = set()
"""Rooms being left, some by callers that gave up on a join: it must still be left if it succeeds after all."""


class RoomConnection:
    """One caller's connection to its room.

    Args:
        timeout_s: a join that takes longer has failed.
        options: passed to `room.connect`; None for the SDK's defaults.
    """

    def __init__(self, ticket: CallTicket, timeout_s: float, options: rtc.RoomOptions | None) -> None:
        self.room = rtc.Room()
        self.gave_up = False
        """Nothing new is to be opened in the room: the join took too long, or the caller leaves."""
        self._ticket = ticket
        self._timeout_s = timeout_s
        # Each attempt of the SDK gets our time-out; it makes several, so the join may end after we gave up.
        self._options = options or rtc.RoomOptions(connect_timeout=timeout_s)
        self._connecting: asyncio.Task[None] | None = None
        self._left: asyncio.Task[None] | None = None

    async def join(self, entered: Callable[[], None]) -> str | None:
        """Join; `entered` is called in the very moment. Returns why it failed, None if it did not."""
        self._connecting = asyncio.create_task(self._connect(entered), name="caller-connect")
        # Never cancel a join halfway: the native side would finish it and leave a ghost in the room.
        done, _ = await asyncio.wait({self._connecting}, timeout=self._timeout_s)
        if not done:
            self.gave_up = True
            return f"connect: no answer within {self._timeout_s:g} s"
        failure = self._connecting.exception()
        return None if failure is None else f"connect: {failure!r}"

    async def leave(self) -> None:
        """Leave, or see to it that the room is left once a join under way is over; safe to call twice."""
        self.gave_up = True
        if self._left is None:
            self._left = asyncio.create_task(self._leave(), name="caller-leave")
            _LEAVING.add(self._left)
            self._left.add_done_callback(_LEAVING.discard)
        await asyncio.wait({self._left}, timeout=_LEAVE_TIMEOUT_S)

    async def _connect(self, entered: Callable[[], None]) -> None:
        await self.room.connect(self._ticket.url, self._ticket.token, self._options)
        if not self.gave_up:
            # Here, not in join(): the SDK delivers room events from now on, and join() resumes a few loop
            # turns later. An agent's track that came in between would never be heard.
            entered()

    async def _leave(self) -> None:
        if self._connecting is None:
            return
        await asyncio.wait({self._connecting})
        if not self._connecting.cancelled() and self._connecting.exception() is None:
            await self.room.disconnect()
