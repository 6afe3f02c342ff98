"""Workers in memory: they take what `FakeLiveKit` offers, claim it in a `FakeCallStore`, join, renew, and report.

What befalls one of them is said by its attributes, or those of its jobs, at any time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from support.fake_call_store import FakeCallStore
from support.fake_livekit import FakeLiveKit
from voicefleet.contract.calls import DispatchMetadata
from voicefleet.contract.claims import RENEW_EVERY_S, HandoffState, agent_identity
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.reports import WorkerReport, WorkerState
from voicefleet.controller.pool.worker_store import Reported
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.redis.claim_store import Refused, Succeeding, Turn, Yielded

JOB_START_S = 0.3


@dataclass
class FakeJob:
    name: str
    room: str
    sid: str
    worker: str
    succeeds: bool
    epoch: int
    stalled: bool = False
    """It does nothing any more, and its agent stays in the room."""
    cut_from_redis: bool = False
    trouble: str = ""
    live: bool = False
    task: asyncio.Task[None] | None = None

    @property
    def identity(self) -> str:
        return agent_identity(self.name)


@dataclass
class FakeWorker:
    name: str
    slots: int
    state: str = WorkerState.READY.value
    hangs: bool = False
    """It neither reports nor answers an offer, and its jobs go on."""
    silent_since_s: float = 0.0
    jobs: dict[str, FakeJob] = field(default_factory=dict)
    """By room."""


class FakeWorkers:
    """The workers of one region, and their reports as `WorkerStore.read` gives them."""

    def __init__(self, clock: Clock, livekit: FakeLiveKit, calls: FakeCallStore) -> None:
        self._clock = clock
        self._livekit = livekit
        self._calls = calls
        self.all: dict[str, FakeWorker] = {}
        self.changed: Callable[[], None] = lambda: None
        """Told when a worker's report changes, as the channel of events tells it."""
        self.away = False
        """Reports cannot be read."""
        self._made = 0
        livekit.offer = self._offer

    def add(self, name: str, slots: int = 1) -> FakeWorker:
        worker = self.all[name] = FakeWorker(name, slots)
        return worker

    def job(self, room: str) -> FakeJob:
        """The last job that began in `room`."""
        return max((w.jobs[room] for w in self.all.values() if room in w.jobs), key=lambda job: int(job.name[1:]))

    def hang(self, name: str) -> None:
        self.all[name].hangs, self.all[name].silent_since_s = True, self._clock.monotonic()

    def kill(self, room: str, *, agent_stays: bool) -> FakeJob:
        """The job of `room` is gone at once; LiveKit notices at once, or after 20 s."""
        job = self.job(room)
        self._end(job)
        self._calls.redis.listening.discard(job.name)
        del self.all[job.worker].jobs[room]
        self._livekit.mute.add(job.identity)
        if not agent_stays:
            self._livekit.leave(room, job.identity)
        return job

    async def release(self, room: str, reason: str = "session_closed") -> None:
        """The agent in `room` ends its part on purpose, and leaves."""
        job = self.job(room)
        await self._calls.claims.release(room, job=job.name, released=reason, room_sid=job.sid)
        self._livekit.leave(room, job.identity)

    def stall(self, room: str) -> FakeJob:
        """The job of `room` stops in the middle: its agent stays, and answers nobody."""
        job = self.job(room)
        job.stalled = True
        self._livekit.mute.add(job.identity)
        return job

    async def drain(self, name: str) -> None:
        self.all[name].state = WorkerState.DRAINING.value

    async def read(self) -> dict[str, Reported]:
        if self.away:
            raise UnknownStateError("Redis did not answer")
        now_s, found = self._clock.monotonic(), {}
        for worker in self.all.values():
            silent_s = now_s - worker.silent_since_s if worker.hangs else 0.1
            live = sum(job.live for job in worker.jobs.values())
            report = WorkerReport(
                worker.name,
                "eu",
                worker.state,
                worker.slots,
                live,
                len(worker.jobs) - live,
                uptime_s=99.0,
                rooms=list(worker.jobs),
                jobs=[job.name for job in worker.jobs.values()],
            )
            found[worker.name] = Reported(report, silent_s, None, self._livekit.now_ms() - round(silent_s * 1000))
        return found

    async def _offer(self, room: str, sid: str, metadata: str) -> None:
        """LiveKit asks one worker that it takes for free, and no other when that one does not answer."""
        able = [w for w in self.all.values() if w.state == WorkerState.READY and len(w.jobs) < w.slots]
        if not able or able[0].hangs:
            return
        worker = able[0]
        self._made += 1
        name, epoch, succeeds = f"J{self._made}", 0, False
        try:
            answer = await self._calls.claims.accept(
                room, sid, worker=worker.name, job=name, attempt=DispatchMetadata.decode(metadata).attempt
            )
            if isinstance(answer, Refused):
                return
            epoch, succeeds = answer.epoch, isinstance(answer, Succeeding)
        except UnknownStateError:
            pass  # accepted all the same, and reconciled later
        job = worker.jobs[room] = FakeJob(name, room, sid, worker.name, succeeds, epoch)
        self.changed()
        job.task = asyncio.get_running_loop().create_task(self._run(worker, job))

    async def _run(self, worker: FakeWorker, job: FakeJob) -> None:
        await self._clock.sleep(JOB_START_S)
        self._livekit.join_agent(job.room, job.identity, worker.name)
        self._calls.redis.listening.add(job.name)
        while job.identity in self._livekit.agents(job.room) or job.stalled:
            if not job.stalled and not job.cut_from_redis and not await self._beat(job):
                break
            await self._clock.sleep(RENEW_EVERY_S)
        await self._leave(worker, job)

    async def _beat(self, job: FakeJob) -> bool:
        """False: the call is another job's."""
        claims = self._calls.claims
        try:
            if job.succeeds:
                turn = await claims.ready(job.room, job=job.name)
                job.live, job.succeeds = turn is Turn.OURS, turn is Turn.WAIT
                return turn is not Turn.OVER
            renewed = await claims.renew(
                job.room, job.sid, worker=job.worker, job=job.name, epoch=job.epoch, trouble=job.trouble
            )
            job.live, job.epoch = renewed is not None, renewed.epoch if renewed else 0
            if renewed is not None and renewed.handoff and renewed.handoff.state == HandoffState.READY:
                return await claims.hand_over(job.room, job=job.name) is Yielded.KEPT
        except UnknownStateError:
            return True
        return renewed is not None

    async def _leave(self, worker: FakeWorker, job: FakeJob) -> None:
        job.live = False
        if worker.jobs.get(job.room) is job:
            del worker.jobs[job.room]
            self.changed()
        self._livekit.leave(job.room, job.identity)
        self._calls.redis.listening.discard(job.name)
        if not self._calls.redis.away and not job.cut_from_redis:
            await self._calls.claims.release(job.room, job=job.name)

    def _end(self, job: FakeJob) -> None:
        if job.task is not None:
            job.task.cancel()
