"""A region as the claims see it: the controller's real loops over the real scripts in Redis, on a `FakeLiveKit`.

LiveKit's offers, the jobs and misfortune are moved from outside, one step at a time. Only `passes` lets time go by, and
in it the loops do whatever they find to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from support.fake_region import FakeRegion
from support.model_job import ModelJob, Stage
from support.model_redis import Line, ModelRedis, Seen, Wire
from voicefleet.contract.claims import RENEW_EVERY_S, Claim
from voicefleet.contract.reports import WorkerReport, WorkerState
from voicefleet.controller.calls.dispatch import SCAN_EVERY_S, Dispatcher
from voicefleet.controller.calls.handoffs import Handoffs
from voicefleet.controller.calls.recovery import Recovery
from voicefleet.controller.calls.redis_outage import OutageDispatcher
from voicefleet.controller.pool.worker_store import Reported
from voicefleet.controller.regions.outages import SETTLED_AFTER_S
from voicefleet.runtime.redis.claim_store import Accepted
from voicefleet.runtime.redis.scripts import Fence, HandoffYield, Recover, ScriptArguments
from voicefleet.runtime.tasks import cancel_and_wait

ROOMS = ("a", "b")
WORKERS = ("w1", "w2", "w3")
SLOTS = 4
OFFERED_FOR_S = 3.0
"""LiveKit offers a dispatch at once and drops it after this, whoever did not answer."""
STEP_S = 0.2
"""The claims' time goes in such steps, which are not in step with the controller's scans."""


@dataclass
class Offer:
    """A dispatch; LiveKit offers it to some worker."""

    room: str
    since_s: float


class ModelRegion:
    """Everything but Redis. `fenced` are the jobs of each room that somebody meant to fence, and did."""

    def __init__(self, redis: ModelRedis) -> None:
        self.redis = redis
        redis.empty()
        self.wire = Wire(redis.scripts, self._done)
        """The controller's."""
        self.calls = redis.call_store(self.wire)
        fakes = FakeRegion(calls=self.calls, workers=self)
        self.region = fakes.region
        self.livekit = fakes.livekit
        self.livekit.offer = self._offered
        self.offers: list[Offer] = []
        self.jobs: list[ModelJob] = []
        self.draining: set[str] = set()
        self.over: list[tuple[str, str]] = []
        """Names and sids of rooms whose end LiveKit has not told yet."""
        self.fenced: dict[str, set[str]] = {room: set() for room in ROOMS}
        self._loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the controller, and wait until it trusts what it sees."""
        loops = (Dispatcher, Recovery, Handoffs, OutageDispatcher)
        self._loops = [asyncio.ensure_future(loop(self.region).run()) for loop in loops]
        await asyncio.sleep(SETTLED_AFTER_S + 0.5)

    async def stop(self) -> None:
        for loop in self._loops:
            if loop.done():
                loop.result()
        await cancel_and_wait(self._loops)
        await self.livekit.close()

    @property
    def now_s(self) -> float:
        return self.redis.now_s()

    def look(self) -> Seen:
        return self.redis.look(ROOMS)

    def _done(self, args: ScriptArguments, answer: Any) -> None:
        """Redis ran a script."""
        if isinstance(args, Fence) and answer:
            for name in args.jobs:
                self._fence(name)
        elif isinstance(args, Recover) and answer:
            self._fence(args.job)
        elif isinstance(args, HandoffYield) and answer[0] == 1:
            self._fence(args.job)
            claim = self.look().claims[args.room]
            taker = self.job(claim.job) if claim else None
            assert taker is not None, f"handed over to nobody: {claim}"
            assert taker.said_ready, f"handed over to one that is not ready: {taker}"

    def _fence(self, name: str) -> None:
        job = self.job(name)
        assert job is not None, f"no such job is fenced: {name}"
        self.fenced[job.room].add(name)

    def granted(self, job: ModelJob) -> None:
        """Redis said yes to a job."""
        assert job.name not in self.fenced[job.room], f"fenced, and granted the call again: {job}"

    def check(self) -> None:
        """At most one job of a room speaks on Redis's word, and the controller's loops go on."""
        for room in ROOMS:
            speak = [job for job in self.agents(room) if job.speaks and job.confirmed]
            assert len(speak) <= 1, f"they speak at once: {speak}"
        for loop in self._loops:
            assert not loop.done(), f"a loop ended by itself: {loop}"

    # LiveKit

    async def caller_joins(self, room: str) -> None:
        """LiveKit makes the room, dispatches an agent to it, and its webhook tells of the caller."""
        self.livekit.join(room)
        await self.calls.caller_joined(room)

    async def room_ends(self, room: str) -> None:
        """Everybody is put out; the webhook comes when it comes."""
        self.over.append((room, self.livekit.close_room(room)))

    async def tell_over(self, room: str, sid: str) -> None:
        """The webhook, as `Webhooks` takes it."""
        self.over.remove((room, sid))
        if await self.livekit.sid_of(room) in ("", sid):
            await self.calls.room_finished(room, sid)

    async def _offered(self, room: str, sid: str, metadata: str) -> None:
        self.offer(room)

    def offer(self, room: str) -> None:
        self.offers.append(Offer(room, self.now_s))

    def agents(self, room: str) -> list[ModelJob]:
        return [job for job in self.jobs if job.room == room and job.in_room]

    async def offered(self, room: str, within_s: float, *, since_s: float = 0.0) -> Offer | None:
        """Wait for an offer of the call in `room`."""
        until_s = self.now_s + within_s
        while True:
            for offer in self.offers:
                if offer.room == room and offer.since_s >= since_s:
                    return offer
            if self.now_s >= until_s:
                return None
            await self.passes(STEP_S)

    async def accept(self, offer: Offer, worker: str, faults: Sequence[Line]) -> ModelJob | None:
        """A worker says yes to an offer, or finds the call held."""
        self.offers.remove(offer)
        room = self.livekit.rooms.get(offer.room)
        if room is None:
            return None
        job = ModelJob(
            self.redis,
            self.livekit,
            f"J{len(self.jobs) + 1}",
            offer.room,
            room.sid,
            worker,
            granted=self.granted,
            done=self._done,
        )
        self.jobs.append(job)
        job.wire.faults = [] if any(agent.wire.cut for agent in self.agents(job.room)) else list(faults)
        return job if await job.accept() else None

    async def accept_again(self, job: ModelJob) -> None:
        answer = await self.redis.claims.accept(job.room, job.sid, worker="w9", job=job.name)
        if isinstance(answer, Accepted):
            self.granted(job)

    async def join(self, job: ModelJob) -> None:
        """Its process is up and connects: to whatever room has that name now."""
        if job.room not in self.livekit.rooms:
            await job.end()
            return
        job.join(self.now_s)

    async def hand_over(self, giver: ModelJob, faults: Sequence[Line]) -> None:
        """The holder, told that its successor is ready, gives the call away, or tries to."""
        await giver.give(faults, there=lambda name: any(job.name == name for job in self.agents(giver.room)))

    # Workers, as `WorkerStore`

    async def read(self) -> dict[str, Reported]:
        return {name: Reported(self._report(name), 0.1, None, self.redis.now_ms() - 100) for name in WORKERS}

    def _report(self, worker: str) -> WorkerReport:
        jobs = [job for job in self.jobs if job.worker == worker and job.stage is not Stage.ENDED]
        live = sum(job.stage is Stage.LIVE for job in jobs)
        state = WorkerState.DRAINING if worker in self.draining else WorkerState.READY
        return WorkerReport(
            worker,
            "eu",
            state.value,
            SLOTS + len(jobs),
            live,
            len(jobs) - live,
            uptime_s=99.0,
            rooms=[job.room for job in jobs],
            jobs=[job.name for job in jobs],
        )

    async def drain(self, claim: Claim, room: str) -> Offer | None:
        """The holder's worker drains until a successor of its job is offered; another of its name comes then."""
        began_s = self.now_s
        self.draining.add(claim.worker)
        self.region.note_change()
        offer = await self.offered(room, 1.5, since_s=began_s + 0.01)
        self.draining.clear()
        return offer

    # Time

    async def passes(self, seconds: float) -> None:
        """The controller's loops run; who runs renews each second, and who is ready says so again."""
        until_s = self.now_s + seconds
        while (left_s := until_s - self.now_s) > 1e-6:
            step_s = min(STEP_S, left_s)
            await asyncio.sleep(step_s)
            self.redis.shift(ROOMS, step_s)
            self.offers = [offer for offer in self.offers if self.now_s - offer.since_s <= OFFERED_FOR_S]
            for job in self.jobs:
                if job.beats and self.now_s >= job.beats_at_s:
                    await self.beat(job)
            self.check()

    async def beat(self, job: ModelJob) -> None:
        """What a job that runs does within a second."""
        kept = job.runs and job.stage is Stage.LIVE and not job.lease.lost
        job.beats_at_s = self.now_s + RENEW_EVERY_S
        if job.runs and job.stage is Stage.JOINED:
            await job.take(self.now_s, others=any(other is not job for other in self.agents(job.room)))
        else:
            await job.beat(self.now_s)
        if kept and job.lease.lost:
            seen = self.look()
            ours = seen.held.get(job.room) == job.name and job.name not in self.fenced[job.room]
            assert not ours, f"refused, and nobody else has had the call since: {job}, {seen}"

    # Misfortune

    def is_well(self, job: ModelJob) -> None:
        """It runs again, or is no longer cut off."""
        if job.asleep:
            job.wakes(self.now_s)
        else:
            job.cut_off(cut=False)

    async def befalls(self, job: ModelJob, what: str) -> None:
        """Misfortune, if `what` is one."""
        if job.stage is Stage.ENDED:
            return
        if what == "asleep":
            job.falls_asleep(self.now_s)
        elif what == "cut off" and self.may_be_cut_off(job):
            job.cut_off()
        elif what == "ends":  # before it joined: LiveKit forgot it, or no process started
            await job.end()
        elif what == "dies":
            job.dies(agent_stays=False)
        elif what == "dies unnoticed":
            job.dies(agent_stays=True)

    def may_be_cut_off(self, job: ModelJob) -> bool:
        """Whether every other job of the room knows its epoch. One that was accepted without Redis and asks for the
        first time when the claim has run out is given the call, while its holder, cut off, still speaks."""
        return all(other is job or other.knows_epoch for other in self.jobs if other.room == job.room)

    async def takes_for_dead(self, worker: str) -> None:
        """The controller is told that a worker's process has ended, and it has not."""
        before = self.region.pool
        self.region.pool = before.with_departed(worker, self.now_s)
        await self.passes(2 * SCAN_EVERY_S)
        self.region.pool = before

    def job(self, name: str) -> ModelJob | None:
        return next((job for job in self.jobs if job.name == name), None)

    def in_stage(self, *stages: Stage) -> list[ModelJob]:
        return [job for job in self.jobs if job.runs and job.stage in stages]
