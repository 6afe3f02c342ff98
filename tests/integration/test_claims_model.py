"""Claims by model: hypothesis plays callers, workers and misfortune against the controller's real loops and the real
Lua scripts on a real Redis.

Invariants, after every move: at most one job of a room speaks on Redis's word, whatever was asleep, cut off, expired,
duplicated or late; a fenced job is never granted the call again, and nobody is fenced whom nobody meant; a room's epoch
rises with each job that holds it; the ledger adds up. Not counted: a job whose very first question Redis did not
answer. It speaks on its own authority, because a caller in silence is worse, and the first answer settles it. Not
played: a job is cut off from Redis while another one in its room, accepted without Redis, has not had an answer yet.

The second half changes one line of one script at a time, and the machine has to find out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from support.model_job import ModelJob, Stage
from support.model_machine import explore
from support.model_redis import Line, ModelRedis, Seen, model_redis
from support.model_region import ROOMS, STEP_S, WORKERS, ModelRegion
from voicefleet.contract.claims import Claim
from voicefleet.stack import servers

pytestmark = pytest.mark.integration

T = TypeVar("T")

ANY = st.integers(0, 5)
"""Which one of those that can make a move."""
ROOM = st.sampled_from([ROOMS[0]] * 6 + [ROOMS[1]])
WORKER = st.sampled_from(WORKERS)
ANSWER = st.sampled_from([[], [], [Line.AWAY], [Line.UNHEARD]])
THEN = st.sampled_from(
    ["nothing", "nothing", "nothing", "asleep", "asleep", "cut off", "cut off", "ends", "dies", "dies unnoticed"]
)
SERVED = st.sampled_from([4, 4, 4, 3, 2, 1])
MOVED = st.sampled_from([5, 4, 4, 3, 2, 1, 0])
HELD_UP, HELD_UP_S = ("remove", "recover"), 4.0
FIRST_MOVED = st.sampled_from([0, 0, 0, 3, 5, 5, *HELD_UP, "late"])
CLOSED = ("released", "recovered", "handed_over", "finished", "expired")


def one(of: Sequence[T], n: int) -> T:
    return of[n % len(of)]


class ClaimsMachine(RuleBasedStateMachine):
    """One region with its callers, workers and controller."""

    def __init__(self, redis: ModelRedis) -> None:
        super().__init__()
        self.redis = redis
        self.region = ModelRegion(redis)
        redis.run(self.region.start())
        self.seen: Seen = self.region.look()
        self.highest: dict[str, tuple[int, str]] = dict.fromkeys(ROOMS, (0, ""))

    def teardown(self) -> None:
        self.redis.run(self.region.stop())

    # All goes well, up to a point

    @initialize(faults=ANSWER, steps=SERVED, then=THEN, moved=FIRST_MOVED)
    def first_is_served(self, faults: list[Line], steps: int, then: str, moved: int | str) -> None:
        """And then moved, or recovered late, or served by a late job, in many examples: hypothesis leaves rules out of
        whole examples, and what must be found is not left to luck."""
        if moved == "late":
            self.starts_late(ROOMS[0])
            return
        self.is_served(ROOMS[0], WORKERS[0], faults, steps, "nothing" if moved else then)
        self.seen = self.region.look()
        if isinstance(moved, str) and self.movable():
            self.moves_while_its_holder_is_recovered(0, moved)
        elif isinstance(moved, int) and moved and self.movable():
            self.moves(0, moved, True, then)

    @rule(room=ROOM, worker=WORKER, faults=ANSWER, steps=SERVED, then=THEN)
    def is_served(self, room: str, worker: str, faults: list[Line], steps: int, then: str) -> None:
        """A caller joins, or waits and is seen; a worker says yes, its job joins, and takes the call."""
        region = self.region

        async def go() -> None:
            if room not in region.livekit.rooms:
                await region.caller_joins(room)
            offer = await region.offered(room, 1.0)
            if offer is None or steps < 2 or (job := await region.accept(offer, worker, faults)) is None:
                return
            if steps > 2:
                await region.join(job)
            if steps > 3:
                await region.beat(job)
            await region.befalls(job, then)

        self.redis.run(go())

    @rule(room=ROOM)
    def starts_late(self, room: str) -> None:
        """A job joins when its claim has run out, and another one has the call."""
        region = self.region

        async def go() -> None:
            if room not in region.livekit.rooms:
                await region.caller_joins(room)
            jobs: list[ModelJob] = []
            for worker in WORKERS[:2]:
                offer = await region.offered(room, 2.0)
                if offer is None or (job := await region.accept(offer, worker, [])) is None:
                    return
                jobs.insert(0, job)
                await region.passes(6 if len(jobs) == 1 else STEP_S)
            for job in jobs:
                await region.join(job)
                await region.beat(job)

        self.redis.run(go())

    @precondition(lambda self: self.movable())
    @rule(n=ANY, steps=MOVED, whom=st.booleans(), then=THEN)
    def moves(self, n: int, steps: int, whom: bool, then: str) -> None:
        """A handoff begins, a worker says yes, its job joins, gets ready, the holder hears of it and gives it away."""
        claim, room = one(self.movable(), n)

        async def go() -> None:
            holder, job = await self._moves(claim, room, steps)
            if job is not None and holder is not None:
                await self.region.befalls(job if whom else holder, then)

        self.redis.run(go())

    @precondition(lambda self: self.movable())
    @rule(n=ANY, what=st.sampled_from(HELD_UP))
    def moves_while_its_holder_is_recovered(self, n: int, what: str) -> None:
        """The controller takes the holder for dead, and is held up until the call has another one: one to whom the
        holder gave it or, its agent being out of the room already, the next to whom it was offered."""
        region = self.region
        claim, room = one(self.movable(), n)

        async def go() -> None:
            if what == "remove":
                region.livekit.latency_s = HELD_UP_S
                await region.takes_for_dead(claim.worker)
                region.livekit.latency_s = 0.0
                await self._moves(claim, room, 5)
            else:
                region.wire.held_up_s["recover"] = HELD_UP_S
                await region.takes_for_dead(claim.worker)
                await region.passes(1)
                if (offer := await region.offered(room, 1.0)) and (job := await region.accept(offer, "w9", [])):
                    await region.join(job)
                    await region.beat(job)
            await region.passes(HELD_UP_S)

        self.redis.run(go())

    async def _moves(self, claim: Claim, room: str, steps: int) -> tuple[ModelJob | None, ModelJob | None]:
        """The holder and its successor, if one came, after so many steps of a handoff."""
        region = self.region
        worker = next(worker for worker in WORKERS if worker != claim.worker)
        offer = await region.drain(claim, room)
        job = await region.accept(offer, worker, []) if steps > 0 and offer else None
        holder = region.job(claim.job)
        if job is None or holder is None:
            return holder, job
        if steps > 1:
            await region.join(job)
        if steps > 2:
            await region.beat(job)
        if steps > 3:
            await region.beat(holder)
        if steps > 4 and holder in self.givers():
            await region.hand_over(holder, [])
        return holder, job

    def movable(self) -> list[tuple[Claim, str]]:
        found = [(claim, room) for room in ROOMS if (claim := self.seen.claims[room]) and claim.state == "live"]
        return [(claim, room) for claim, room in found if self.seen.handoffs[room] is None]

    @rule(seconds=st.sampled_from([1, 2, 6, 6, 11, 11, 16]))
    def time_passes(self, seconds: int) -> None:
        self.redis.run(self.region.passes(seconds))

    # One step of one job

    @precondition(lambda self: self.region.offers)
    @rule(n=ANY, worker=WORKER, faults=ANSWER)
    def accept(self, n: int, worker: str, faults: list[Line]) -> None:
        self.redis.run(self.region.accept(one(self.region.offers, n), worker, faults))

    @precondition(lambda self: self.awake())
    @rule(n=ANY)
    def job_goes_on(self, n: int) -> None:
        """Its process is up and it joins; or its next second has come, or its channel woke it."""
        job = one(self.awake(), n)
        self.redis.run(self.region.join(job) if job.stage is Stage.ACCEPTED else self.region.beat(job))

    @precondition(lambda self: self.givers())
    @rule(n=ANY, faults=st.sampled_from([f * k for f in ([Line.AWAY], [Line.UNHEARD]) for k in (0, 1, 20)]))
    def hand_over(self, n: int, faults: list[Line]) -> None:
        self.redis.run(self.region.hand_over(one(self.givers(), n), faults))

    def awake(self) -> list[ModelJob]:
        return [job for job in self.region.jobs if job.runs]

    def givers(self) -> list[ModelJob]:
        return [j for j in self.region.in_stage(Stage.LIVE) if j.in_room and j.lease.handoff and not j.lease.lost]

    # The controller

    @rule(script=st.sampled_from(["fence", "recover", "queue_scan"]), seconds=st.sampled_from([0.3, 1.0]))
    def controller_is_held_up(self, script: str, seconds: float) -> None:
        """The next time in the middle of what it does."""
        self.region.wire.held_up_s[script] = seconds

    @rule(seconds=st.sampled_from([1, 4]))
    def controller_is_cut_off_for(self, seconds: int) -> None:
        """From Redis; it serves then by what LiveKit shows."""
        region = self.region

        async def go() -> None:
            region.wire.cut = True
            await region.passes(seconds)
            region.wire.cut = False

        self.redis.run(go())

    @rule()
    def book_is_cleaned(self) -> None:
        """Claims that ran out, of rooms without a caller as far as Redis knows. The controller asks for it 15 s after
        it saw that; another replica's view may be older."""
        self.redis.run(self.redis.close_orphans(ROOMS))

    # Misfortune

    @precondition(lambda self: self.awake())
    @rule(n=ANY, what=THEN)
    def job_fails(self, n: int, what: str) -> None:
        self.redis.run(self.region.befalls(one(self.awake(), n), what))

    @precondition(lambda self: self.awake())
    @rule(n=ANY, what=st.sampled_from(["asleep", "cut off"]), seconds=st.sampled_from([1, 3, 5, 11]))
    def job_fails_for(self, n: int, what: str, seconds: int) -> None:
        job = one(self.awake(), n)

        async def go() -> None:
            await self.region.befalls(job, what)
            await self.region.passes(seconds)
            self.region.is_well(job)

        self.redis.run(go())

    @precondition(lambda self: self.failing())
    @rule(n=ANY)
    def job_is_well_again(self, n: int) -> None:
        async def go() -> None:
            self.region.is_well(one(self.failing(), n))

        self.redis.run(go())

    def failing(self) -> list[ModelJob]:
        return [job for job in self.region.jobs if job.stage is not Stage.ENDED and (job.asleep or job.wire.cut)]

    @precondition(lambda self: self.givers())
    @rule(n=ANY, seconds=st.sampled_from([1, 3, 5]), alone=st.booleans(), again=st.booleans())
    def holder_hangs_before_it_gives(self, n: int, seconds: int, alone: bool, again: bool) -> None:
        """Its successor may die meanwhile, and another handoff begin."""
        region, giver = self.region, one(self.givers(), n)
        successors = region.in_stage(Stage.SUCCESSOR)

        async def go() -> None:
            await region.befalls(giver, "asleep")
            for job in successors if alone else ():
                await region.befalls(job, "dies")
            await region.passes(seconds)
            claim = region.look().claims[giver.room]
            if again and claim and claim.job == giver.name:
                await region.drain(claim, giver.room)
            region.is_well(giver)
            await region.hand_over(giver, [])

        self.redis.run(go())

    @precondition(lambda self: self.region.jobs)
    @rule(
        n=ANY, what=st.sampled_from(["recovery", "recovery", "offer", "offer", "accept", "room ends", "room finished"])
    )
    def platform_errs(self, n: int, what: str) -> None:
        """A worker is taken for dead. Or a dispatch comes twice, of the front end, or a replica of another release:
        only the claim can tell then that it is one too many, so nobody is cut off from it (the controller alone asks
        LiveKit before it dispatches). Or an accept, of which nothing comes: LiveKit asks the next worker when one
        answers late. Or a room ends, or LiveKit tells late that it did."""
        region, job = self.region, one(self.region.jobs, n)
        if what == "recovery":
            self.redis.run(region.takes_for_dead(job.worker))
        elif what == "offer" and not any(agent.wire.cut for agent in region.agents(job.room)):
            region.offer(job.room)
        elif what == "accept":
            self.redis.run(region.accept_again(job))
        elif what == "room ends" and job.room in region.livekit.rooms:
            self.redis.run(region.room_ends(job.room))
        elif what == "room finished" and region.over:
            self.redis.run(region.tell_over(*one(region.over, n)))

    # What must hold

    @invariant()
    def holds(self) -> None:
        self.region.check()
        seen = self.seen = self.region.look()
        opened, closed = seen.ledger.get("opened", 0), sum(seen.ledger.get(name, 0) for name in CLOSED)
        assert opened == closed + len(seen.held), f"the ledger does not add up: {seen.ledger}, held {seen.held}"
        for room in ROOMS:
            assert seen.fenced[room] == self.region.fenced[room], f"not those meant are fenced: {seen.fenced[room]}"
            claim = seen.claims[room]
            if claim is None:
                continue
            assert self.region.job(claim.job) is not None, f"nobody holds the call: {claim}"
            assert claim.job not in seen.fenced[room], f"fenced, and holds the call: {claim}"
            assert seen.held.get(room) == claim.job, f"not in the book: {claim}"
            epoch, job = self.highest[room]
            assert claim.epoch > epoch or (claim.epoch, claim.job) == (epoch, job), f"not above {epoch}: {claim}"
            self.highest[room] = (claim.epoch, claim.job)


def play(url: str, examples: int, mutations: dict[str, tuple[str, str]] | None = None, *, shrink: bool = True) -> None:
    """Look for a way to break an invariant; raises what it finds."""
    with model_redis(url, mutations) as redis:
        explore(lambda: ClaimsMachine(redis), examples, shrink=shrink)


def test_nobody_speaks_beside_another(redis_server: servers.Redis) -> None:
    play(redis_server.url, 100)


MUTANTS: dict[str, tuple[str, str, str]] = {
    "a job takes another's call": ("claim_renew", "  if claim.job ~= job then", "  if false then"),
    "who gave the call away may have it again": ("handoff_yield", "redis.call('SADD', KEYS[3], job)", ""),
    "handed over without a new epoch": (
        "handoff_yield",
        "local epoch = math.max(claim.epoch, tonumber(redis.call('GET', KEYS[2]) or '0')) + 1",
        "local epoch = claim.epoch",
    ),
    "a dead job may have the call again": ("recover", "redis.call('SADD', KEYS[3], claim.job)", ""),
    "whoever holds the call is recovered": (
        "recover",
        "if claim.worker ~= args.worker or claim.job ~= args.job then",
        "if false then",
    ),
    "a claim that stands is closed": (
        "open_claims_expire",
        "  if redis.call('EXISTS', args.claim_prefix .. room) == 0 and not redis.call('ZSCORE', KEYS[1], room) then",
        "  if true then",
    ),
    "a recovered call stays in the book": ("recover", "redis.call('HDEL', KEYS[5], room)", ""),
}
"""What breaks -> the script, its line, and the line in its place."""


@pytest.mark.parametrize("name", MUTANTS)
def test_the_model_finds_one_changed_line(name: str, redis_server: servers.Redis) -> None:
    script, line, other = MUTANTS[name]
    with pytest.raises(AssertionError):
        play(redis_server.url, 200, {script: (line, other)}, shrink=False)
