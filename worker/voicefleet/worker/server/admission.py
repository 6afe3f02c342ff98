"""Answers offers of calls: the worker's own count of slots decides, and claims keep two workers off one call.

LiveKit drops a job whose worker takes more than 3 s to answer, and nobody asks again: the answer comes at once, and a
Redis that is slow or down costs 300 ms, and the claim is taken later.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from livekit.agents import JobRequest
from livekit.agents.job import JobAcceptArguments

from voicefleet.contract.calls import DispatchMetadata
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.probe import WORKER_ATTRIBUTE
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.claim_store import ClaimStore, Refused, Succeeding
from voicefleet.worker.job.crash_pause import crash_pause_s

CLAIM_TIMEOUT_S = 0.3
HOOK_LIMIT_S = 2.0
"""For a team's own `on_request`; LiveKit itself waits 3 s."""
EPOCH_ATTRIBUTE = "voicefleet.epoch"
SUCCESSOR_ATTRIBUTE = "voicefleet.successor"
"""Set on an agent that is to take a live call over: it is silent until the claim is its."""

log = get_logger(__name__)


class Answer(enum.StrEnum):
    """What became of an offer. full, draining: the next worker is asked. held: nobody else is.
    refused: by the team's own `on_request`."""

    ACCEPTED = "accepted"
    ACCEPTED_UNCLAIMED = "accepted_unclaimed"
    SUCCEEDING = "succeeding"
    FULL = "full"
    DRAINING = "draining"
    HELD = "held"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(slots=True)
class TeamAnswer:
    """What a team's `on_request` said of an offer; one that says nothing accepts."""

    rejected: bool | None = None
    """Whether nobody else is to be asked; None: accepted."""
    name: str = ""
    metadata: str = ""
    attributes: dict[str, str] = field(default_factory=dict)

    async def reject(self, terminate: bool) -> None:
        self.rejected = terminate

    async def accept(self, given: JobAcceptArguments) -> None:
        self.name, self.metadata, self.attributes = given.name, given.metadata, dict(given.attributes or {})


@dataclass(slots=True)
class Slots:
    """The worker's own count of its slots.

    Invariant: ``active() + len(accepting) <= total`` at every acceptance. A job is in `accepting` from our yes until
    `accept()` has come back, by when the SDK counts it as active.
    """

    total: int
    active: Callable[[], frozenset[str]]
    """Ids of the jobs that have a process."""
    accepting: dict[str, str] = field(default_factory=dict)
    """Job -> room."""
    cordoned: bool = False

    @property
    def live(self) -> int:
        return len(self.active())

    @property
    def pending(self) -> int:
        """Accepted, but without a process yet."""
        return len(self.pending_rooms())

    def pending_rooms(self) -> list[str]:
        active = self.active()
        return [room for job, room in self.accepting.items() if job not in active]

    @property
    def busy(self) -> int:
        return self.live + self.pending

    def load(self) -> float:
        """What LiveKit is told: 0.7 or more means full, for the worker and for the server's own limit alike.

        Reservations are not counted: the SDK adds them itself. ``0.7 * (n / K)`` in this order, because ``0.7 * n / K``
        stays below 0.7 in floating point for a full worker of 3, 6, 12 or 24 slots.
        """
        return 1.0 if self.cordoned else 0.7 * (self.live / self.total)


class Admission:
    """Answers LiveKit's offers for one worker.

    Args:
        on_request: the team's own, of its `AgentServer`: it may refuse a call, and give the agent's name, metadata and
            attributes. It is asked after our slots. The agent's identity stays ours.
        hook_failed: told when it raises, or takes longer than `HOOK_LIMIT_S`; then the call is accepted.
    """

    def __init__(
        self,
        slots: Slots,
        claims: ClaimStore,
        *,
        worker: str,
        count: Callable[[Answer], None],
        wake: Callable[[], None],
        on_request: Callable[[JobRequest], Awaitable[None]] | None = None,
        hook_failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._slots = slots
        self._claims = claims
        self._worker = worker
        self._count = count
        self._wake = wake
        self._on_request = on_request
        self._hook_failed = hook_failed
        self._opened: dict[str, tuple[str, int]] = {}
        """Job whose process has not ended -> its room, and the epoch of its claim."""

    async def job_ended(self, job: str) -> None:
        """The job's process is gone. One that failed before its session began left a claim that nobody renews: the call
        would wait for its end. It is given back after a pause that grows, as the next job may fail the same way."""
        room, epoch = self._opened.pop(job, ("", 0))
        if not room:
            return
        await asyncio.sleep(crash_pause_s(0.0, epoch))
        await self._give_back(room, job, only_accepted=True)

    async def answer(self, request: JobRequest) -> None:
        """The SDK's ``on_request``."""
        answer = await self._answer(request)
        self._count(answer)
        log.info("call offered", room=request.room.name, job=request.id, answer=answer.value)

    async def _answer(self, request: JobRequest) -> Answer:
        slots = self._slots
        if slots.cordoned:
            await request.reject(terminate=False)
            return Answer.DRAINING
        if slots.busy >= slots.total:
            await request.reject(terminate=False)
            return Answer.FULL
        # From here to the end no await may come between the check above and this reservation.
        slots.accepting[request.id] = request.room.name
        try:
            asked = await self._ask_team(request)
            if asked.rejected is not None:
                await request.reject(terminate=asked.rejected)
                return Answer.REFUSED
            return await self._claim_and_accept(request, asked)
        finally:
            slots.accepting.pop(request.id, None)
            self._wake()

    async def _ask_team(self, request: JobRequest) -> TeamAnswer:
        answer = TeamAnswer()
        if self._on_request is None:
            return answer
        try:
            async with asyncio.timeout(HOOK_LIMIT_S):
                await self._on_request(JobRequest(job=request.job, on_reject=answer.reject, on_accept=answer.accept))
        except Exception as error:
            log.warning("the team's on_request failed, the call is accepted", error=type(error).__name__)
            self._hook_failed()
            return TeamAnswer()
        return answer

    async def _claim_and_accept(self, request: JobRequest, asked: TeamAnswer) -> Answer:
        room, answer = request.room.name, Answer.ACCEPTED
        attributes = {WORKER_ATTRIBUTE: self._worker, EPOCH_ATTRIBUTE: "0"}
        try:
            async with asyncio.timeout(CLAIM_TIMEOUT_S):
                claim = await self._claims.accept(
                    room,
                    request.room.sid,
                    worker=self._worker,
                    job=request.id,
                    attempt=DispatchMetadata.decode(request.job.metadata).attempt,
                )
        except (UnknownStateError, TimeoutError):
            answer = Answer.ACCEPTED_UNCLAIMED
        else:
            if isinstance(claim, Refused):
                await request.reject(terminate=True)
                return Answer.HELD
            attributes[EPOCH_ATTRIBUTE] = str(claim.epoch)
            if isinstance(claim, Succeeding):
                answer = Answer.SUCCEEDING
                attributes[SUCCESSOR_ATTRIBUTE] = "1"
        try:
            await request.accept(
                name=asked.name, metadata=asked.metadata, attributes={**asked.attributes, **attributes}
            )
        except Exception as error:
            # accept() raises after 7.5 s when LiveKit gave the job to another worker or dropped it, and when no process
            # starts.
            log.warning("accepted call was not assigned", room=room, job=request.id, error=type(error).__name__)
            await self._give_back(room, request.id)
            return Answer.FAILED
        if answer is Answer.ACCEPTED:
            self._opened[request.id] = room, int(attributes[EPOCH_ATTRIBUTE])
        return answer

    async def _give_back(self, room: str, job: str, *, only_accepted: bool = False) -> None:
        try:
            await self._claims.release(room, job=job, only_accepted=only_accepted)
        except UnknownStateError:
            log.warning("claim not released, it will expire: Redis unreachable", room=room, job=job)
