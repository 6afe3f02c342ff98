"""A job's lease on its call: acquired when the job is in the room, renewed every second, handed over, or lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from voicefleet.contract.claims import RENEW_EVERY_S, Handoff, HandoffState
from voicefleet.contract.errors import UnknownStateError
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.claim_store import ClaimStore, Yielded
from voicefleet.runtime.tasks import cancel_and_wait

FIRST_TRY_TIMEOUT_S = 0.3
BEAT_S = 0.5
STALL_S = 3.0
"""A process that did not run for so long may have lost its call meanwhile."""
SETTLE_LIMIT_S = 3.0
SETTLE_EVERY_S = 0.3
RELEASE_LIMIT_S = 4.0
"""livekit-agents gives the end of a job 10 s, of which other things need some."""
RELEASE_AGAIN_S = 0.3

log = get_logger(__name__)


class ClaimLease:
    """The claim of one job.

    Invariants: once a renewal or `hand_over` said that the call is another's, the job never speaks again. After the
    process did not run for longer than `STALL_S` the job is silent until a renewal that began later said that the call
    is still its own. While Redis does not answer the lease is kept: the caller hears the agent, and the next answer of
    Redis settles it.

    Args:
        epoch: what the worker was given when it accepted; 0 when Redis was away then.
        attempt: of the dispatch that the job came by.
    """

    def __init__(
        self,
        claims: ClaimStore,
        *,
        room: str,
        room_sid: str,
        worker: str,
        job: str,
        epoch: int,
        clock: Clock,
        attempt: int = 0,
    ) -> None:
        self._claims = claims
        self._room = room
        self._room_sid = room_sid
        self._worker = worker
        self._job = job
        self._clock = clock
        self._attempt = attempt
        self._woken = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._stalls = 0
        self._doubtful = False
        self.epoch = epoch
        self.lost = False
        self.handed_over = False
        """The call is another's because this job gave it away."""
        self.released = False
        """The call is nobody's, on purpose."""
        self.handoff: Handoff | None = None
        """The handoff that this job is to make now, its successor being ready, as of the last renewal."""

    async def acquire(self, *, others: bool = False) -> bool:
        """The first renewal, once in the room.

        Args:
            others: another agent of ours is in the room. While no claim can decide, whoever came later leaves.

        Returns:
            False: the call is another's, leave without a word. True: ours, or Redis did not say within 300 ms.
        """
        try:
            async with asyncio.timeout(FIRST_TRY_TIMEOUT_S):
                return await self.renew()
        except (UnknownStateError, TimeoutError):
            log.warning("claim not confirmed: Redis did not answer", another_agent=others)
            self.lost = others
            return not others

    async def renew(self, trouble: str = "") -> bool:
        """Renew the claim now; whether the call is ours. Raises `UnknownStateError`."""
        renewed = await self._claims.renew(
            self._room,
            self._room_sid,
            worker=self._worker,
            job=self._job,
            epoch=self.epoch,
            attempt=self._attempt,
            trouble=trouble,
        )
        if renewed is None:
            self.lost = True
            return False
        self.epoch = renewed.epoch
        ready = renewed.handoff is not None and renewed.handoff.state == HandoffState.READY
        self.handoff = renewed.handoff if ready else None
        return True

    def renew_soon(self) -> None:
        """Renew without waiting for the next second: something about the call changed."""
        self._woken.set()

    async def renew_until_lost(
        self,
        connected: Callable[[], bool],
        *,
        trouble: Callable[[], str] = lambda: "",
        stalled: Callable[[bool], None] = lambda _: None,
        renewed: Callable[[], None] = lambda: None,
    ) -> None:
        """Renew every second while `connected`; return when the claim is lost or handed over, and not before.

        Args:
            trouble: what the job finds wrong with its call.
            stalled: told True when this process did not run for a while, so that another may have the call by now, and
                False once a renewal said that it is still ours.
            renewed: told after each renewal.
        """
        beat = asyncio.create_task(self._beat(stalled))
        try:
            while not self.lost:
                await self._pause()
                async with self._one_at_a_time:
                    # A job that has lost its room must let go: its claim runs out and the call is served by another.
                    if self.lost or not connected():
                        continue
                    stalls = self._stalls
                    try:
                        ours = await self.renew(trouble())
                    except UnknownStateError:
                        log.warning("claim not renewed, the call goes on: Redis unreachable")
                        continue
                # An answer from before the stall says nothing about now.
                if ours and self._doubtful and stalls == self._stalls:
                    self._doubtful = False
                    stalled(False)
                if ours:
                    renewed()
        finally:
            await cancel_and_wait([beat])

    async def hand_over(self) -> bool | None:
        """Give the call to the successor that is ready; this job must be silent by now.

        Returns:
            True: the call is another's. False: it is still ours. None: Redis did not say within 3 s.
        """
        async with self._one_at_a_time:
            try:
                gone: bool | None = await self._claims.hand_over(self._room, job=self._job) is not Yielded.KEPT
            except UnknownStateError:
                log.warning("not known whether the call was handed over, renewing to find out", room=self._room)
                gone = await self._settle()
            if gone:
                self.let_go()
            return gone

    def let_go(self) -> None:
        """The call is the successor's."""
        self.lost = self.handed_over = True
        self._woken.set()

    async def release(self, released: str = "") -> bool:
        """Give the claim back, best effort: it runs out by itself.

        Args:
            released: why the job's part in the call ended on purpose, a word: nobody is sent there again until somebody
                asks. That is tried for `RELEASE_LIMIT_S`: a claim that only runs out brings the next agent.

        Returns:
            Whether the call is released now. It is not if this job had lost it, or was fenced.
        """
        async with self._one_at_a_time:
            if self.lost:
                released = ""
            deadline_s = self._clock.monotonic() + (RELEASE_LIMIT_S if released else 0.0)
            while True:
                try:
                    freed = await self._claims.release(
                        self._room, job=self._job, released=released, room_sid=self._room_sid
                    )
                    break
                except UnknownStateError:
                    if self._clock.monotonic() >= deadline_s:
                        log.warning("claim not released, it will expire: Redis unreachable", on_purpose=bool(released))
                        return False
                await self._clock.sleep(RELEASE_AGAIN_S)
            if released and freed:
                self.lost = self.released = True
                self._woken.set()
            return bool(released) and freed

    async def _settle(self) -> bool | None:
        # Twice, because the order to hand over may still be on its way when the first renewal is answered.
        confirmed = 0
        deadline_s = self._clock.monotonic() + SETTLE_LIMIT_S
        while confirmed < 2:
            if self._clock.monotonic() >= deadline_s:
                return None
            await self._clock.sleep(SETTLE_EVERY_S)
            try:
                if not await self.renew():
                    return True
                confirmed += 1
            except UnknownStateError:
                confirmed = 0
        return False

    async def _pause(self) -> None:
        """Until the next renewal is due, or is wanted sooner."""
        sleeping = asyncio.ensure_future(self._clock.sleep(RENEW_EVERY_S))
        waking = asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait({sleeping, waking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waking.cancel()
            self._woken.clear()

    async def _beat(self, stalled: Callable[[bool], None]) -> None:
        while True:
            before_s = self._clock.monotonic()
            await self._clock.sleep(BEAT_S)
            if self._clock.monotonic() - before_s > STALL_S:
                self._stalls += 1
                self._doubtful = True
                stalled(True)
                self._woken.set()
