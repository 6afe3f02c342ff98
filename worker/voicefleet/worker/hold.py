"""A job's hold on its call: takes the claim when it is in the room, renews it, and knows when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from voicefleet.contract.claims import RENEW_EVERY_S, Handoff
from voicefleet.contract.errors import UnknownStateError
from voicefleet.runtime.claims import ClaimStore
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs import get_logger

FIRST_TRY_TIMEOUT_S = 0.3
STALL_S = 3.0
"""A process that did not run for so long between two renewals may have lost its call meanwhile."""

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
        self._woken = asyncio.Event()
        self.epoch = 0
        self.lost = False
        self.handoff: Handoff | None = None
        """The handoff that this job is to make, as of the last renewal."""

    async def take(self, epoch: int, *, others: bool = False) -> bool:
        """Take the live claim once in the room.

        Args:
            epoch: what the worker was given when it accepted; 0 when Redis was away then.
            others: another agent of ours is in the room. While no claim can decide, whoever came later leaves.

        Returns:
            False: the call is another's, leave without a word. True: ours, or Redis did not say within 300 ms.
        """
        self.epoch = epoch
        try:
            async with asyncio.timeout(FIRST_TRY_TIMEOUT_S):
                return await self._renew()
        except (UnknownStateError, TimeoutError):
            log.warning("claim not confirmed", another_is_there=others)
            self.lost = others
            return not others

    def wake(self) -> None:
        """Renew now: something about the call changed."""
        self._woken.set()

    def let_go(self) -> None:
        """The call was handed over."""
        self.lost = True
        self._woken.set()

    async def keep(
        self,
        connected: Callable[[], bool],
        *,
        trouble: Callable[[], str] = lambda: "",
        stalled: Callable[[bool], None] = lambda _: None,
        renewed: Callable[[], None] = lambda: None,
    ) -> None:
        """Renew while `connected`; comes back when the claim is lost, and not before.

        Args:
            trouble: what the job finds wrong with its call.
            stalled: told True when this process did not run for a while, so that another may have the call by now, and
                False once a renewal said that it is still ours.
            renewed: told after each renewal.
        """
        doubtful = False
        while not self.lost:
            before_s = self._clock.monotonic()
            await self._pause()
            if self._clock.monotonic() - before_s > STALL_S:
                doubtful = True
                stalled(True)
            # A job that has lost its room must let go: its claim runs out and the call is served by another.
            if self.lost or not connected():
                continue
            try:
                ours = await self._renew(trouble())
            except UnknownStateError:
                log.warning("claim not renewed, the call goes on")
                continue
            if ours and doubtful:
                doubtful = False
                stalled(False)
            if ours:
                renewed()

    async def _pause(self) -> None:
        """Until the next renewal is due, or something woke us."""
        sleeping = asyncio.ensure_future(self._clock.sleep(RENEW_EVERY_S))
        waking = asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait({sleeping, waking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waking.cancel()
            self._woken.clear()

    async def release(self) -> None:
        """Give the claim back, best effort: it runs out by itself."""
        try:
            await self._claims.release(self._room, job=self._job)
        except UnknownStateError:
            log.warning("claim could not be released and will expire")

    async def _renew(self, trouble: str = "") -> bool:
        held = await self._claims.live(
            self._room, self._room_sid, worker=self._worker, job=self._job, epoch=self.epoch, trouble=trouble
        )
        if held is None:
            self.lost = True
            return False
        self.epoch, self.handoff = held.epoch, held.handoff
        return True
