"""Keeps a call for a job whose entrypoint has not started its session yet, and gives it up in the end.

new call     accepted claim (5 s) -> after HOLD_AFTER_S renewed -> START_LIMIT_S: given to another job
successor    says that it starts (6 s each) ----------------------> START_LIMIT_S: the call stays where it is
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from voicefleet.contract.errors import UnknownStateError
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.claim_store import Turn
from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.worker.conversation.handover import READY_EVERY_S
from voicefleet.worker.job.claim_lease import ClaimLease
from voicefleet.worker.job.parts import Job
from voicefleet.worker.telemetry.observations import HookFailed

HOLD_AFTER_S = 2.0
"""An entrypoint that has not started its session by then renews its claim: one that is only accepted ends after 5 s."""
START_LIMIT_S = 20.0
"""A caller whom an entrypoint leaves without a session for so long gets another job."""

log = get_logger(__name__)


class SessionWait:
    """Holds the call from `begin` on, until `end`.

    Args:
        leave: given why, has the job leave: the call is another's, or no session came.
    """

    def __init__(self, job: Job, lease: ClaimLease, leave: Callable[[str], None]) -> None:
        self._job = job
        self._lease = lease
        self._leave = leave
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """The entrypoint runs."""
        self._task = asyncio.create_task(self._hold_handoff() if self._job.successor else self._hold_claim())

    async def end(self) -> None:
        """A session has the call, or nothing has it any more."""
        if self._task is not None and self._task is not asyncio.current_task():
            await cancel_and_wait([self._task])

    async def _hold_claim(self) -> None:
        job, lease = self._job, self._lease
        await job.ports.clock.sleep(HOLD_AFTER_S)
        if not await lease.acquire(others=False):
            self._leave("claim held by another")
            return
        renewing = asyncio.create_task(lease.renew_until_lost(lambda: True))
        try:
            async with asyncio.timeout(START_LIMIT_S - HOLD_AFTER_S):
                await asyncio.wait({renewing})
        except TimeoutError:
            if not self._speaks_by_itself():
                self._give_up("the entrypoint started no session, the call is given to another job")
                return
            log.warning("no AgentSession was started, but audio is published: the call is the entrypoint's own")
            await asyncio.wait({renewing})
        finally:
            renewing.cancel()
        if lease.lost:
            self._leave("claim held by another")

    async def _hold_handoff(self) -> None:
        """Keep the handoff to us while the session starts: one that is only accepted ends after 6 s, and what a team's
        entrypoint does first may take longer."""
        job, clock = self._job, self._job.ports.clock
        deadline_s = clock.monotonic() + START_LIMIT_S
        while clock.monotonic() < deadline_s:
            await clock.sleep(READY_EVERY_S)
            with contextlib.suppress(UnknownStateError):
                if await job.ports.claims.ready(job.room, job=job.id, starting=True) is Turn.OVER:
                    self._leave("not handed over")
                    return
        self._give_up("the session of a successor did not start in time, the call stays where it is")

    def _give_up(self, what: str) -> None:
        log.error(what, limit_s=START_LIMIT_S)
        self._job.ports.channel.send(HookFailed("session_start"))
        self._leave("no session started")

    def _speaks_by_itself(self) -> bool:
        return any(p.track is not None for p in self._job.ctx.room.local_participant.track_publications.values())
