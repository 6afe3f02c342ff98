"""A region as the claims see it: rooms and orders of LiveKit, jobs, and the controller's moves, one step at a time.

The controller's rules, retold: an agent is ordered for a caller only while there is no claim and no agent in the room;
an agent that answers through LiveKit is left alone, one that does not is fenced, then removed; a job is recovered by
removing its agent first. Between its steps anything may happen.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from support.model_job import ModelJob, Stage
from support.model_redis import Line, ModelRedis, Seen
from voicefleet.contract.claims import RENEWAL_OVERDUE_MS, Claim, HandoffState
from voicefleet.controller.calls.call_store import DISPATCH_TTL_MS
from voicefleet.controller.calls.handoffs import LOOK_EVERY_S
from voicefleet.runtime.redis.claim_store import Accepted, ClaimStore

ROOMS = ("a", "b")
ORDER_KEPT_S = 3.0
"""LiveKit offers an order at once and drops it after this, whoever did not answer."""
STEP_KEPT_S = 1.0
"""The controller is not held up for longer between two steps of one repair."""


@dataclass
class Room:
    """One LiveKit room of a name that recurs."""

    sid: str
    caller: bool = True


@dataclass
class Order:
    """An agent was asked for; LiveKit offers it to some worker."""

    room: str
    made_s: float


@dataclass
class Work:
    """The controller, or one replica of it, in the middle of something."""

    name: str
    steps: list[Callable[[], Coroutine[Any, Any, bool]]]
    """Each says whether to go on."""
    began_s: float


@dataclass
class Fleet:
    """Everything but Redis. `seen` is what stood in Redis after the last move."""

    redis: ModelRedis
    now_s: float = 0.0
    rooms: dict[str, Room] = field(default_factory=dict)
    over: list[tuple[str, str]] = field(default_factory=list)
    """Names and sids of rooms whose end LiveKit has not told yet."""
    orders: list[Order] = field(default_factory=list)
    jobs: list[ModelJob] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    fenced: dict[str, set[str]] = field(default_factory=lambda: {room: set() for room in ROOMS})
    """Whom somebody meant to fence."""
    ordered_s: dict[str, float] = field(default_factory=dict)
    """Room -> when its handoff's successor was last ordered."""
    sids: int = 0

    @property
    def claims(self) -> ClaimStore:
        return self.redis.claims

    async def look(self) -> Seen:
        return await self.redis.look(ROOMS)

    def granted(self, job: ModelJob) -> None:
        """Redis said yes to a job."""
        assert job.name not in self.fenced[job.room], f"fenced, and granted the call again: {job}"

    def check(self) -> None:
        """At most one job of a room speaks on Redis's word."""
        for room in ROOMS:
            speak = [job for job in self.agents(room) if job.speaks and job.confirmed]
            assert len(speak) <= 1, f"they speak at once: {speak}"

    # LiveKit

    def calls(self, room: str) -> None:
        """A caller joins: LiveKit makes the room and orders an agent for it."""
        self.sids += 1
        self.rooms[room] = Room(f"RM_{self.sids}")
        self.order(room)

    def ends(self, room: str) -> None:
        """The room is over and everybody put out; the webhook comes when it comes."""
        self.over.append((room, self.rooms.pop(room).sid))
        for job in self.agents(room):
            job.in_room = False

    def order(self, room: str) -> None:
        self.orders.append(Order(room, self.now_s))

    def agents(self, room: str) -> list[ModelJob]:
        return [job for job in self.jobs if job.room == room and job.in_room]

    async def offer(self, order: Order, worker: str, faults: Sequence[Line]) -> ModelJob | None:
        """A worker says yes to an order, or finds the call held."""
        self.orders.remove(order)
        room = self.rooms.get(order.room)
        if room is None:
            return None
        job = ModelJob(self.redis, f"J{len(self.jobs) + 1}", order.room, room.sid, worker, self.granted)
        self.jobs.append(job)
        job.wire.faults = list(faults)
        return job if await job.accept() else None

    async def offer_again(self, job: ModelJob) -> None:
        answer = await self.claims.accept(job.room, job.sid, worker="w9", job=job.name)
        if isinstance(answer, Accepted):
            self.granted(job)

    async def join(self, job: ModelJob) -> None:
        """Its process is up and connects: to whatever room has that name now."""
        if job.room not in self.rooms:
            await job.end()
            return
        job.join(self.now_s)

    async def take(self, job: ModelJob) -> None:
        await job.take(self.now_s, others=any(other is not job for other in self.agents(job.room)))

    async def hand_over(self, giver: ModelJob, faults: Sequence[Line]) -> None:
        """The holder, told that its successor is ready, gives the call away, or tries to."""
        before = (await self.look()).ledger.get("handed_over", 0)
        await giver.give(faults, there=lambda name: any(job.name == name for job in self.agents(giver.room)))
        after = await self.look()
        if after.ledger.get("handed_over", 0) > before:
            self.fenced[giver.room].add(giver.name)
            claim = after.claims[giver.room]
            taker = self.job(claim.job) if claim else None
            assert taker is not None, f"handed over to nobody: {claim}"
            assert taker.said_ready, f"handed over to one that is not ready: {taker}"

    # Time

    async def passes(self, seconds: int) -> None:
        """Second by second: who runs renews, who is ready says so again, and LiveKit forgets old orders."""
        left = seconds
        while left:
            for work in [w for w in self.works if self.now_s - w.began_s >= STEP_KEPT_S]:
                await self.works_on(work, len(work.steps))
            beating = [job for job in self.jobs if job.beats]
            step = 1 if beating or self.works else left
            await self.redis.shift(ROOMS, step)
            self.now_s, left = self.now_s + step, left - step
            self.orders = [order for order in self.orders if self.now_s - order.made_s <= ORDER_KEPT_S]
            for job in beating:
                await self.beat(job)
            self.check()

    async def beat(self, job: ModelJob) -> None:
        """What a job that runs does within a second."""
        kept = job.runs and job.stage is Stage.LIVE and not job.lease.lost
        if job.runs and job.stage is Stage.JOINED:
            await self.take(job)
        else:
            await job.beat(self.now_s)
        if kept and job.lease.lost:
            seen = await self.look()
            ours = seen.held.get(job.room) == job.name and job.name not in self.fenced[job.room]
            assert not ours, f"refused, and nobody else has had the call since: {job}, {seen}"

    def is_well(self, job: ModelJob) -> None:
        """It runs again, or is no longer cut off."""
        if job.asleep:
            job.wakes(self.now_s)
        else:
            job.wire.cut = False

    async def befalls(self, job: ModelJob, what: str) -> None:
        """Misfortune, if `what` is one."""
        if job.stage is Stage.ENDED:
            return
        if what == "asleep":
            job.asleep_since_s = self.now_s
        elif what == "cut off":
            job.wire.cut = True
        elif what == "ends":  # before it joined: LiveKit forgot it, or no process started
            await job.end()
        elif what == "dies":
            job.dies()

    # The controller

    def repair(self, room: str) -> Work:
        """Ask who is there; fence, then remove the dead; order an agent."""
        dead: list[ModelJob] = []

        async def ask() -> bool:
            dead.extend(self.agents(room))
            return all(job.asleep or job.name in self.fenced[room] for job in dead)

        async def fence() -> bool:
            unsure = [job.name for job in dead if job.name not in self.fenced[room]]
            if unsure and not await self.claims.fence(room, unsure):
                return False
            self.fenced[room].update(unsure)
            return True

        async def remove() -> bool:
            for job in dead:
                job.in_room = False
            return True

        async def order() -> bool:
            self.order(room)
            return True

        return self._begins(f"repair of {room}", [ask, fence, remove, order])

    def recover(self, room: str, claim: Claim) -> Work:
        """The holder's agent out of the room, then its claim freed."""

        async def remove() -> bool:
            for job in self.agents(room):
                if job.name == claim.job:
                    job.in_room = False
            return True

        async def free() -> bool:
            if await self.claims.recover(room, claim):
                self.fenced[room].add(claim.job)
            return True

        return self._begins(f"recovery of {claim.job} in {room}", [remove, free])

    def _begins(self, name: str, steps: list[Callable[[], Coroutine[Any, Any, bool]]]) -> Work:
        work = Work(name, steps, self.now_s)
        self.works.append(work)
        return work

    async def works_on(self, work: Work, steps: int) -> None:
        for _ in range(steps):
            if work in self.works and (not await work.steps.pop(0)() or not work.steps):
                self.works.remove(work)

    def movable(self, seen: Seen, room: str) -> bool:
        """A live call whose job renews, as of the last snapshot: the only ones that a handoff is begun for."""
        claim = seen.claims[room]
        if claim is None or claim.state != "live" or seen.handoffs[room] is not None:
            return False
        holder = self.job(claim.job)
        return holder is not None and self.now_s - holder.renewed_s <= RENEWAL_OVERDUE_MS / 1000 + 2 * LOOK_EVERY_S

    async def begin_handoff(self, room: str, job: str) -> None:
        if await self.claims.begin_handoff(room, job=job):
            self.order_successor(room)

    def order_successor(self, room: str) -> None:
        self.ordered_s[room] = self.now_s
        self.order(room)

    def unanswered(self, seen: Seen, room: str) -> bool:
        """A handoff that nobody took on: its successor is ordered again."""
        handoff, ordered_s = seen.handoffs[room], self.ordered_s.get(room)
        if handoff is None or handoff.state != HandoffState.WANTED or ordered_s is None:
            return False
        return (self.now_s - ordered_s) * 1000 >= DISPATCH_TTL_MS

    async def told_over(self, room: str, sid: str) -> bool:
        """The webhook; False: it is late, the name belongs to another room by now."""
        self.over.remove((room, sid))
        late = room in self.rooms and self.rooms[room].caller
        return not late and await self.redis.book.room_finished(room, sid)

    def job(self, name: str) -> ModelJob | None:
        return next((job for job in self.jobs if job.name == name), None)

    def in_stage(self, *stages: Stage) -> list[ModelJob]:
        return [job for job in self.jobs if job.runs and job.stage in stages]
