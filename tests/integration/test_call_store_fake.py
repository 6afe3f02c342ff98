"""The fake call store is checked against the real one: hypothesis plays the same moves on both, and compares what they
answer. What the unit tests of the controller's loops are told by the fake is what Redis would tell them.

Neither side's time passes by itself: the real claims and handoffs live for an hour, and so do the fake's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import ExitStack
from datetime import datetime
from typing import Any, TypeVar
from unittest import mock

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from support import fake_call_store
from support.fake_call_store import FakeCallStore
from support.model_machine import explore
from voicefleet.contract.calls import CallRecord
from voicefleet.controller.calls.call_store import CallStore
from voicefleet.controller.calls.snapshots import Snapshot
from voicefleet.runtime.redis.claim_store import ClaimStore
from voicefleet.runtime.redis.connection import RedisClient, Scripts, connect_redis
from voicefleet.stack import servers

pytestmark = pytest.mark.integration

T = TypeVar("T")

HOUR_MS = 3_600_000
ROOM = st.sampled_from(["a", "b", "c"])
JOB = st.sampled_from(["J1", "J2", "J3"])
ATTEMPT = st.sampled_from([0, 0, 1])
SID = st.sampled_from(["RM_1", "RM_1", "RM_2", ""])
TTLS = ("ACCEPTED_TTL_MS", "LIVE_TTL_MS", "HANDOFF_TTL_MS", "HANDOFF_READY_TTL_MS")


def worker_of(job: str) -> str:
    return f"w{job[1:]}"


class Still:
    """A clock that stands."""

    def monotonic(self) -> float:
        return 0.0

    def wall(self) -> datetime:
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


async def _awaited(work: Awaitable[T]) -> T:
    return await work


class Both(RuleBasedStateMachine):
    """The same moves on the fake and on the real store."""

    def __init__(self, runner: asyncio.Runner, client: RedisClient) -> None:
        super().__init__()
        self._runner = runner
        scripts = Scripts(client)
        self.real, self.fake = CallStore(client, scripts, "both", grace_ms=0), FakeCallStore(Still(), grace_ms=0)
        self.real_claims, self.fake_claims = ClaimStore(scripts, "both"), self.fake.claims
        self._run(client.flushdb())
        self.time_ms = 1_000

    def _run(self, work: Awaitable[T]) -> T:
        return self._runner.run(_awaited(work))

    def same(self, name: str, *args: Any, **more: Any) -> None:
        real, fake = (self._run(getattr(s, name)(*args, **more)) for s in (self.real, self.fake))
        assert real == fake, f"{name}{args}: really {real}, the fake says {fake}"

    def same_claims(self, name: str, *args: Any, **more: Any) -> None:
        real, fake = (self._run(getattr(s, name)(*args, **more)) for s in (self.real_claims, self.fake_claims))
        assert plain(real) == plain(fake), f"{name}{args}{more}: really {real}, the fake says {fake}"

    @rule(room=ROOM, priority=st.sampled_from([0, 0, 5]), sid=SID)
    def caller_joins(self, room: str, priority: int, sid: str) -> None:
        self.time_ms += 7
        self.same("save_record", CallRecord(room, "both", priority=priority))
        self.same("apply_listing", self.time_ms, [(room, self.time_ms, sid)], [])

    @rule(room=ROOM, late=st.booleans())
    def caller_leaves(self, room: str, late: bool) -> None:
        """By a webhook; or by a listing, which may be older than the caller."""
        if late:
            self.same("apply_listing", self.time_ms, [], [room])
        else:
            self.same("caller_left", room)

    @rule(room=ROOM)
    def caller_is_expected(self, room: str) -> None:
        self.time_ms += 7
        self.same("expect", [(room, self.time_ms)])
        self.same("expected")

    @rule(room=ROOM, job=JOB, attempt=ATTEMPT, sid=SID)
    def worker_accepts(self, room: str, job: str, attempt: int, sid: str) -> None:
        self.same_claims("accept", room, sid, worker=worker_of(job), job=job, attempt=attempt)

    @rule(
        room=ROOM,
        job=JOB,
        epoch=st.integers(0, 3),
        attempt=ATTEMPT,
        sid=SID,
        trouble=st.sampled_from(["", "", "no media"]),
    )
    def job_renews(self, room: str, job: str, epoch: int, attempt: int, sid: str, trouble: str) -> None:
        of_job: dict[str, Any] = {"worker": worker_of(job), "job": job, "epoch": epoch, "attempt": attempt}
        self.same_claims("renew", room, sid, **of_job, trouble=trouble)

    @rule(room=ROOM, job=JOB, released=st.sampled_from(["", "session_closed"]), sid=SID)
    def job_releases(self, room: str, job: str, released: str, sid: str) -> None:
        self.same_claims("release", room, job=job, released=released, room_sid=sid)

    @rule(room=ROOM, sid=SID, comes=st.booleans())
    def neighbour_comes_or_goes(self, room: str, sid: str, comes: bool) -> None:
        if comes:
            self.same("neighbour_here", room, sid)
        else:
            self.same("neighbour_gone", room)

    @rule(room=ROOM, job=JOB)
    def controller_removes(self, room: str, job: str) -> None:
        self.same("mark_removing", room, job)

    @rule(room=ROOM)
    def team_asks_for_an_agent(self, room: str) -> None:
        self.same("want_agent", room)

    @rule(room=ROOM, jobs=st.lists(JOB, min_size=1, max_size=2, unique=True))
    def controller_fences(self, room: str, jobs: list[str]) -> None:
        self.same_claims("fence", room, jobs)
        self.same("fenced_jobs", room)

    @rule(room=ROOM)
    def controller_recovers(self, room: str) -> None:
        claim = self._run(self.real.claim(room))
        if claim is not None:
            self.same_claims("recover", room, claim)

    @rule(room=ROOM, job=JOB)
    def handoff_begins(self, room: str, job: str) -> None:
        self.same_claims("begin_handoff", room, job=job)

    @rule(room=ROOM, job=JOB)
    def successor_is_ready(self, room: str, job: str) -> None:
        self.same_claims("ready", room, job=job)

    @rule(room=ROOM, job=JOB)
    def holder_hands_over(self, room: str, job: str) -> None:
        self.same_claims("hand_over", room, job=job)

    @rule(limit=st.integers(0, 4), most=st.integers(0, 4))
    def replica_takes(self, limit: int, most: int) -> None:
        self.same("take", limit, most=most, for_ms=HOUR_MS)

    @rule(room=ROOM, sid=st.sampled_from(["RM_1", "RM_0", ""]))
    def room_is_over(self, room: str, sid: str) -> None:
        self.same("room_finished", room, sid)
        self.same("records", [room])

    @rule(room=ROOM)
    def call_is_ended(self, room: str) -> None:
        self.same("mark_ended", room)
        self.same("ended_rooms", ["a", "b", "c"])

    @rule()
    def scans(self) -> None:
        real, fake = self._run(self.real.scan()), self._run(self.fake.scan())
        assert seen(real) == seen(fake)
        self.same("handoffs", ["a", "b", "c"])

    def teardown(self) -> None:
        self.scans()


def plain(value: Any) -> Any:
    """Without times, which are of two clocks."""
    claim = getattr(value, "by", None)
    return (type(value), claim.job) if claim is not None else value


def seen(snapshot: Snapshot) -> Any:
    calls = [
        (
            c.room,
            c.joined_ms,
            c.rank,
            c.state,
            c.aside and (c.aside.room_sid, c.aside.reason),
            c.claim and (c.claim.worker, c.claim.job, c.claim.epoch, c.claim.trouble),
        )
        for c in snapshot.calls
    ]
    return calls, snapshot.live, snapshot.waiting, snapshot.set_aside, snapshot.in_trouble, len(snapshot.served_after_s)


def test_the_fake_answers_as_redis_does(redis_server: servers.Redis) -> None:
    long: dict[str, Any] = dict.fromkeys(TTLS, HOUR_MS)
    with ExitStack() as stack:
        stack.enter_context(mock.patch.multiple("voicefleet.runtime.redis.claim_store", **long))
        stack.enter_context(mock.patch.multiple(fake_call_store, **long))
        runner = stack.enter_context(asyncio.Runner(loop_factory=asyncio.new_event_loop))
        client = connect_redis(redis_server.url, timeout_s=60.0)
        stack.callback(lambda: runner.run(client.aclose()))
        explore(lambda: Both(runner, client), 150)
