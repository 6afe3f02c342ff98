"""Claims by model: hypothesis plays workers, controller and misfortune against the real Lua scripts on a real Redis.

Invariants, after every move: at most one job of a room speaks on Redis's word, whatever was asleep, cut off, expired,
duplicated or late; a fenced job is never granted the call again, and nobody is fenced whom nobody meant; a room's epoch
rises with each job that holds it; the ledger adds up. Not counted: a job whose very first question Redis did not
answer. It speaks on its own authority, because a caller in silence is worse, and the first answer settles it.

The second half changes one line of one script at a time, and the machine has to find out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from support.model_fleet import ROOMS, Fleet
from support.model_job import ModelJob, Stage
from support.model_redis import Line, ModelRedis, Seen, model_redis
from voicefleet.contract.claims import Claim
from voicefleet.stack import servers

pytestmark = pytest.mark.integration

T = TypeVar("T")

ANY = st.integers(0, 5)
"""Which one of those that can make a move."""
ROOM = st.sampled_from([ROOMS[0]] * 6 + [ROOMS[1]])
WORKERS = ("w1", "w2", "w3")
WORKER = st.sampled_from(WORKERS)
ANSWER = st.sampled_from([[], [], [Line.AWAY], [Line.UNHEARD]])
THEN = st.sampled_from(["nothing", "nothing", "nothing", "asleep", "asleep", "cut off", "cut off", "ends", "dies"])
SERVED = st.sampled_from([4, 4, 4, 3, 2, 1])
MOVED = st.sampled_from([5, 4, 4, 3, 2, 1, 0])
CLOSED = ("released", "recovered", "handed_over", "finished", "expired")


def one(of: Sequence[T], n: int) -> T:
    return of[n % len(of)]


class ClaimsMachine(RuleBasedStateMachine):
    """One region with its callers, workers and controller."""

    def __init__(self, redis: ModelRedis) -> None:
        super().__init__()
        self.redis = redis
        self.fleet = Fleet(redis)
        redis.run(redis.empty())
        self.seen: Seen = redis.run(self.fleet.look())
        self.highest: dict[str, tuple[int, str]] = dict.fromkeys(ROOMS, (0, ""))

    # All goes well, up to a point

    @initialize(faults=ANSWER, steps=SERVED, then=THEN)
    def first_is_served(self, faults: list[Line], steps: int, then: str) -> None:
        self.is_served(ROOMS[0], WORKERS[0], faults, steps, then)

    @rule(room=ROOM, worker=WORKER, faults=ANSWER, steps=SERVED, then=THEN)
    def is_served(self, room: str, worker: str, faults: list[Line], steps: int, then: str) -> None:
        """A caller joins, or waits and is seen; a worker says yes, its job joins, and takes the call."""
        fleet = self.fleet

        async def go() -> None:
            if room not in fleet.rooms:
                fleet.calls(room)
            elif room in self.waiting():
                await fleet.works_on(fleet.repair(room), 9)
            for order in [o for o in fleet.orders if o.room == room][: steps > 1]:
                if (job := await fleet.offer(order, worker, faults)) is None:
                    continue
                if steps > 2:
                    await fleet.join(job)
                if steps > 3:
                    await fleet.beat(job)
                await fleet.befalls(job, then)

        self.redis.run(go())

    @precondition(lambda self: self.movable())
    @rule(n=ANY, steps=MOVED, whom=st.booleans(), then=THEN)
    def moves(self, n: int, steps: int, whom: bool, then: str) -> None:
        """A handoff begins, a worker says yes, its job joins, gets ready, the holder hears of it and gives it away."""
        claim, room = one(self.movable(), n)

        async def go() -> None:
            holder, job = await self._moves(claim, room, steps)
            if job is not None and holder is not None:
                await self.fleet.befalls(job if whom else holder, then)

        self.redis.run(go())

    @precondition(lambda self: self.movable())
    @rule(n=ANY)
    def moves_while_its_holder_is_recovered(self, n: int) -> None:
        """The controller takes the holder for dead, and is held up until the call has another one."""
        claim, room = one(self.movable(), n)

        async def go() -> None:
            recovery = self.fleet.recover(room, claim)
            await self._moves(claim, room, 5)
            await self.fleet.works_on(recovery, 2)

        self.redis.run(go())

    async def _moves(self, claim: Claim, room: str, steps: int) -> tuple[ModelJob | None, ModelJob | None]:
        """The holder and its successor, if one came, after so many steps of a handoff."""
        fleet = self.fleet
        worker = next(worker for worker in WORKERS if worker != claim.worker)
        await fleet.begin_handoff(room, claim.job)
        job = await fleet.offer(fleet.orders[-1], worker, []) if steps > 0 and fleet.orders else None
        holder = fleet.job(claim.job)
        if job is None or holder is None:
            return holder, job
        if steps > 1:
            await fleet.join(job)
        if steps > 2:
            await fleet.beat(job)
        if steps > 3:
            await fleet.beat(holder)
        if steps > 4 and holder in self.givers():
            await fleet.hand_over(holder, [])
        return holder, job

    def movable(self) -> list[tuple[Claim, str]]:
        return [(claim, r) for r in ROOMS if (claim := self.seen.claims[r]) and self.fleet.movable(self.seen, r)]

    @rule(seconds=st.sampled_from([1, 2, 6, 6, 11, 11, 16]))
    def time_passes(self, seconds: int) -> None:
        self.redis.run(self.fleet.passes(seconds))

    # One step of one job

    @precondition(lambda self: self.fleet.orders)
    @rule(n=ANY, worker=WORKER, faults=ANSWER)
    def accept(self, n: int, worker: str, faults: list[Line]) -> None:
        self.redis.run(self.fleet.offer(one(self.fleet.orders, n), worker, faults))

    @precondition(lambda self: self.awake())
    @rule(n=ANY)
    def job_goes_on(self, n: int) -> None:
        """Its process is up and it joins; or its next second has come, or its channel woke it."""
        job = one(self.awake(), n)
        self.redis.run(self.fleet.join(job) if job.stage is Stage.ACCEPTED else self.fleet.beat(job))

    @precondition(lambda self: self.givers())
    @rule(n=ANY, faults=st.sampled_from([f * k for f in ([Line.AWAY], [Line.UNHEARD]) for k in (0, 1, 20)]))
    def hand_over(self, n: int, faults: list[Line]) -> None:
        self.redis.run(self.fleet.hand_over(one(self.givers(), n), faults))

    def awake(self) -> list[ModelJob]:
        return [job for job in self.fleet.jobs if job.runs]

    def givers(self) -> list[ModelJob]:
        return [j for j in self.fleet.in_stage(Stage.LIVE) if j.in_room and j.lease.handoff and not j.lease.lost]

    # The controller

    @precondition(lambda self: self.waiting())
    @rule(n=ANY, steps=st.integers(0, 4))
    def repair(self, n: int, steps: int) -> None:
        self.redis.run(self.fleet.works_on(self.fleet.repair(one(self.waiting(), n)), steps))

    def waiting(self) -> list[str]:
        return [room for room in self.fleet.rooms if self.seen.claims[room] is None]

    @precondition(lambda self: self.fleet.works)
    @rule(n=ANY)
    def controller_goes_on(self, n: int) -> None:
        self.redis.run(self.fleet.works_on(one(self.fleet.works, n), 1))

    @precondition(lambda self: any(self.fleet.unanswered(self.seen, room) for room in ROOMS))
    @rule(n=ANY)
    def order_successor_again(self, n: int) -> None:
        self.fleet.order_successor(one([r for r in ROOMS if self.fleet.unanswered(self.seen, r)], n))

    @rule()
    def book_is_cleaned(self) -> None:
        """Claims that ran out, of rooms without a caller as far as Redis knows: here none is known of, ever."""
        self.redis.run(self.redis.close_orphans(ROOMS))

    # Misfortune

    @precondition(lambda self: self.awake())
    @rule(n=ANY, what=THEN)
    def job_fails(self, n: int, what: str) -> None:
        self.redis.run(self.fleet.befalls(one(self.awake(), n), what))

    @precondition(lambda self: self.awake())
    @rule(n=ANY, what=st.sampled_from(["asleep", "cut off"]), seconds=st.sampled_from([1, 3, 5, 11]))
    def job_fails_for(self, n: int, what: str, seconds: int) -> None:
        job = one(self.awake(), n)

        async def go() -> None:
            await self.fleet.befalls(job, what)
            await self.fleet.passes(seconds)
            self.fleet.is_well(job)

        self.redis.run(go())

    @precondition(lambda self: self.failing())
    @rule(n=ANY)
    def job_is_well_again(self, n: int) -> None:
        self.fleet.is_well(one(self.failing(), n))

    def failing(self) -> list[ModelJob]:
        return [job for job in self.fleet.jobs if job.stage is not Stage.ENDED and (job.asleep or job.wire.cut)]

    @precondition(lambda self: self.givers())
    @rule(n=ANY, seconds=st.sampled_from([1, 3, 5]), alone=st.booleans(), again=st.booleans())
    def holder_hangs_before_it_gives(self, n: int, seconds: int, alone: bool, again: bool) -> None:
        """Its successor may die meanwhile, and another handoff begin."""
        fleet, giver = self.fleet, one(self.givers(), n)
        successors = fleet.in_stage(Stage.SUCCESSOR)

        async def go() -> None:
            await fleet.befalls(giver, "asleep")
            for job in successors if alone else ():
                await fleet.befalls(job, "dies")
            await fleet.passes(seconds)
            if again and fleet.movable(await fleet.look(), giver.room):
                await fleet.begin_handoff(giver.room, giver.name)
            fleet.is_well(giver)
            await fleet.hand_over(giver, [])

        self.redis.run(go())

    @precondition(lambda self: self.fleet.jobs)
    @rule(
        n=ANY, what=st.sampled_from(["recovery", "recovery", "order", "order", "offer", "room ends", "room finished"])
    )
    def platform_errs(self, n: int, what: str) -> None:
        """A job is taken for dead. Or an order comes twice, of the front end, or a replica of another release: only the
        claim can tell then that it is one too many, so nobody is cut off from it (the controller alone asks LiveKit
        before it orders). Or an offer, of which nothing comes: LiveKit asks the next worker when one answers late. Or a
        room ends, or LiveKit tells late that it did."""
        fleet, job = self.fleet, one(self.fleet.jobs, n)
        claim = self.seen.claims[job.room]
        if what == "recovery" and claim is not None:
            self.redis.run(fleet.works_on(fleet.recover(job.room, claim), n % 3))
        elif what == "order" and not any(agent.wire.cut for agent in fleet.agents(job.room)):
            fleet.order(job.room)
        elif what == "offer":
            self.redis.run(fleet.offer_again(job))
        elif what == "room ends" and job.room in fleet.rooms:
            fleet.ends(job.room)
        elif what == "room finished" and fleet.over:
            self.redis.run(fleet.told_over(*one(fleet.over, n)))

    # What must hold

    @invariant()
    def holds(self) -> None:
        self.fleet.check()
        seen = self.seen = self.redis.run(self.fleet.look())
        opened, closed = seen.ledger.get("opened", 0), sum(seen.ledger.get(name, 0) for name in CLOSED)
        assert opened == closed + len(seen.held), f"the ledger does not add up: {seen.ledger}, held {seen.held}"
        for room in ROOMS:
            assert seen.fenced[room] == self.fleet.fenced[room], f"not those meant are fenced: {seen.fenced[room]}"
            claim = seen.claims[room]
            if claim is None:
                continue
            assert self.fleet.job(claim.job) is not None, f"nobody holds the call: {claim}"
            assert claim.job not in seen.fenced[room], f"fenced, and holds the call: {claim}"
            assert seen.held.get(room) == claim.job, f"not in the book: {claim}"
            epoch, job = self.highest[room]
            assert claim.epoch > epoch or (claim.epoch, claim.job) == (epoch, job), f"not above {epoch}: {claim}"
            self.highest[room] = (claim.epoch, claim.job)


def play(url: str, examples: int, mutations: dict[str, tuple[str, str]] | None = None, *, shrink: bool = True) -> None:
    """Look for a way to break an invariant; raises what it finds."""
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    with model_redis(url, mutations) as redis:
        factory: Any = lambda: ClaimsMachine(redis)  # noqa: E731 (its type says class, its documentation says factory)
        run_state_machine_as_test(
            factory,
            settings=settings(
                max_examples=examples,
                stateful_step_count=30,
                derandomize=True,
                database=None,
                deadline=None,
                phases=phases,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )


def test_nobody_speaks_beside_another(redis_server: servers.Redis) -> None:
    play(redis_server.url, 200)


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
        "if claim.worker ~= ARGV[2] or claim.job ~= ARGV[3] then",
        "if false then",
    ),
    "a claim that stands is closed": (
        "open_claims_expire",
        "  if redis.call('EXISTS', ARGV[1] .. room) == 0 and not redis.call('ZSCORE', KEYS[1], room) then",
        "  if true then",
    ),
    "a recovered call stays in the book": ("recover", "redis.call('HDEL', KEYS[5], room)", ""),
}
"""What breaks -> the script, its line, and the line in its place."""


@pytest.mark.parametrize("name", MUTANTS)
def test_the_model_finds_one_changed_line(name: str, redis_server: servers.Redis) -> None:
    script, line, other = MUTANTS[name]
    with pytest.raises(AssertionError):
        play(redis_server.url, 1_000, {script: (line, other)}, shrink=False)
