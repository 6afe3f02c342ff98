"""A job's hold on its call: takes the claim when it is in the room, renews it, and knows when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from voicefleet.contract.claims import RENEW_EVERY_S
from voicefleet.contract.errors import UnknownStateError
from voicefleet.runtime.claims import ClaimStore
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs import get_logger

FIRST_TRY_TIMEOUT_S = 0.3

log = get_logger(__name__)


class Hold:
    """The claim of one job.

    Invariant: once `take` or a renewal said the call is another's, the job never speaks again. While Redis does not
    answer the hold is kept: the caller hears the agent, and the next answer of Redis settles it.
    """

    def __init__(self, claims: ClaimStore, *, room: str, room_sid: str, worker: str, job: str, clock: Clock) -> None:
        self._claims = claims
        self._room = room
        self._room_sid = room_sid
        self._worker = worker
        self._job = job
        self._clock = clock
        self.epoch = 0
        self.lost = False

    async def take(self, epoch: int) -> bool:
        """Take the live claim once in the room.

        Args:
            epoch: what the worker was given when it accepted; 0 when Redis was away then.

        Returns:
            False: the call is another's, leave without a word. True: ours, or Redis did not say within 300 ms.
        """
        self.epoch = epoch
        try:
            async with asyncio.timeout(FIRST_TRY_TIMEOUT_S):
                return await self._renew()
        except (UnknownStateError, TimeoutError):
            log.warning("claim not confirmed, the call goes on")
            return True

    async def keep(self, connected: Callable[[], bool]) -> None:
        """Renew while `connected`; comes back when the claim is lost, and not before."""
        while not self.lost:
            await self._clock.sleep(RENEW_EVERY_S)
            # A job that has lost its room must let go: its claim runs out and the call is served by another.
            if connected():
                try:
                    await self._renew()
                except UnknownStateError:
                    log.warning("claim not renewed, the call goes on")

    async def release(self) -> None:
        """Give the claim back, best effort: it runs out by itself."""
        try:
            await self._claims.release(self._room, job=self._job)
        except UnknownStateError:
            log.warning("claim could not be released and will expire")

    async def _renew(self) -> bool:
        held = await self._claims.live(self._room, self._room_sid, worker=self._worker, job=self._job, epoch=self.epoch)
        if held is None:
            self.lost = True
            return False
        self.epoch = held.epoch
        return True
