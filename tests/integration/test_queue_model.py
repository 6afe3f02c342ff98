"""The queue by model: hypothesis plays callers, workers and replicas against the real Lua scripts on a real Redis.

Two replicas of this release, which look through the calls in small parts, and one of the release before, which takes a
call with its own script. Invariants: whoever scans sees the calls as they are; whoever takes gets the first waiting
calls that nobody has under way, never one twice, and never more than there are free slots; the book of claims adds up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar
from unittest import mock

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from support.model_machine import explore
from voicefleet.contract import codec
from voicefleet.contract.calls import PRIORITY_LEVEL_MS, CallRecord
from voicefleet.contract.keys import Keys
from voicefleet.controller.calls.call_store import CallStore
from voicefleet.runtime.redis.claim_store import Accepted, ClaimStore
from voicefleet.runtime.redis.connection import RedisClient, Scripts, connect_redis
from voicefleet.stack import servers

pytestmark = pytest.mark.integration

T = TypeVar("T")

KEYS = Keys("queue")
ROOMS = [f"r{number}" for number in range(12)]
ROOM = st.sampled_from(ROOMS)
FOR_MS = 3_600_000

OLD_TAKE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[2]) then
  return false
end
local waiting = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #waiting, 2 do
  local room = waiting[i]
  if not redis.call('ZSCORE', KEYS[2], room) and redis.call('EXISTS', ARGV[1] .. room) == 0 then
    redis.call('ZADD', KEYS[2], now + tonumber(ARGV[3]), room)
    return {room, waiting[i + 1]}
  end
end
return false
"""
"""What a replica of the release before takes a call with."""


async def _awaited(work: Awaitable[T]) -> T:
    return await work


class QueueMachine(RuleBasedStateMachine):
    """One region's queue, and what should be in it."""

    def __init__(self, runner: asyncio.Runner, client: RedisClient) -> None:
        super().__init__()
        self._runner, self._client = runner, client
        scripts = Scripts(client)
        self.books = [CallStore(client, scripts, "queue", grace_ms=0) for _ in range(2)]
        self.claims = ClaimStore(scripts, "queue")
        self.run(client.flushdb())
        self.joined: dict[str, int] = {}
        self.priority: dict[str, int] = {}
        self.claimed: dict[str, str] = {}
        self.queued: dict[str, int] = {}
        """As of the last scan of anybody."""
        self.under_way: set[str] = set()
        self.time_ms = 1_000
        self.jobs = 0

    def run(self, work: Awaitable[T]) -> T:
        return self._runner.run(_awaited(work))

    @rule(room=ROOM, priority=st.sampled_from([0, 0, 0, 5]))
    def caller_joins(self, room: str, priority: int) -> None:
        if room in self.joined:
            return
        self.time_ms += 7
        self.priority[room] = priority
        self.run(self._client.set(KEYS.call(room), codec.dump(CallRecord(room, "queue", priority=priority))))
        self.run(self.books[0].apply_listing(self.time_ms, [(room, self.time_ms, "RM_1")], []))
        self.joined[room] = self.time_ms

    @rule(room=ROOM)
    def caller_leaves(self, room: str) -> None:
        self.run(self.books[1].caller_left(room))
        if self.joined.pop(room, None) is not None:
            self.queued.pop(room, None)
            self.under_way.discard(room)

    @rule(room=ROOM)
    def worker_claims(self, room: str) -> None:
        self.jobs += 1
        job = f"J{self.jobs}"
        answer = self.run(self.claims.accept(room, "RM_1", worker="w", job=job))
        assert isinstance(answer, Accepted) == (room not in self.claimed)
        self.claimed.setdefault(room, job)

    @rule(room=ROOM)
    def worker_releases(self, room: str) -> None:
        if (job := self.claimed.pop(room, None)) is not None:
            assert self.run(self.claims.release(room, job=job))

    @rule(room=ROOM)
    def claim_runs_out(self, room: str) -> None:
        """Nobody says so: the next round of each replica finds it, this one when it is told to look."""
        if self.claimed.pop(room, None) is not None:
            self.run(self._client.delete(KEYS.claim(room)))
            self.run(self._client.zadd(KEYS.changed, {room: self._now_ms()}))

    def _now_ms(self) -> int:
        seconds, micros = self.run(self._client.time())
        return int(seconds) * 1000 + int(micros) // 1000

    @rule(limit=st.integers(0, 12), most=st.integers(0, 12), who=st.integers(0, 1))
    def takes(self, limit: int, most: int, who: int) -> None:
        wanted = self._next(min(most, limit - len(self.under_way)))
        assert self.run(self.books[who].take(limit, most=most, for_ms=FOR_MS)) == wanted
        self.under_way |= set(wanted)

    @rule(limit=st.integers(0, 12))
    def replica_of_the_release_before_takes(self, limit: int) -> None:
        wanted = self._next(min(1, limit - len(self.under_way)))
        keys = [KEYS.waiting, KEYS.inflight]
        taken = self.run(self._client.eval(OLD_TAKE, 2, *keys, KEYS.claim_prefix, str(limit), str(FOR_MS)))
        assert ([taken[0]] if taken else []) == wanted
        self.under_way |= set(wanted)

    def _next(self, count: int) -> Sequence[str]:
        free = [room for room in self.queued if room not in self.under_way and room not in self.claimed]
        return sorted(free, key=lambda room: (self.queued[room], room))[: max(0, count)]

    @rule(room=ROOM)
    def dispatch_is_lost(self, room: str) -> None:
        if room in self.under_way:
            self.run(self._client.zadd(KEYS.inflight, {room: 1}))
            self.under_way.discard(room)

    @rule(room=ROOM)
    def call_is_looked_at_later(self, room: str) -> None:
        self.run(self.books[0].postpone(room, FOR_MS, self._now_ms()))

    @rule(who=st.integers(0, 1))
    def forgets_all(self, who: int) -> None:
        """Its next scan goes through everything anew, as after an outage."""
        self.books[who].scanner.forget()

    @rule()
    def redis_forgets_all(self) -> None:
        """It restarts empty, and nothing comes back by itself. Its server's id tells, which does not change here."""
        self.run(self._client.flushdb())
        for memory in (self.joined, self.priority, self.claimed, self.queued):
            memory.clear()
        self.under_way.clear()
        for book in self.books:
            book.scanner._server = "another"

    @rule(who=st.integers(0, 1))
    def scans(self, who: int) -> None:
        snapshot = self.run(self.books[who].scan())
        self._scanned()
        seen = {call.room: (call.joined_ms, call.state) for call in snapshot.calls}
        wanted = {room: (at, "accepted" if room in self.claimed else "waiting") for room, at in self.joined.items()}
        assert seen == wanted
        assert [call.joined_ms for call in snapshot.calls] == sorted(self.joined.values())
        assert (snapshot.live, snapshot.waiting) == (
            sum(room in self.claimed for room in self.joined),
            sum(room not in self.claimed for room in self.joined),
        )

    def _scanned(self) -> None:
        """Somebody scanned: the queue is up to date."""
        self.under_way = {room for room in self.under_way if room in self.joined and room not in self.claimed}
        self.queued = {
            room: at - self.priority[room] * PRIORITY_LEVEL_MS
            for room, at in self.joined.items()
            if room not in self.claimed
        }

    @rule()
    def book_is_cleaned(self) -> None:
        """Claims that ran out, of calls that are over, leave the book; no other does."""
        held = self.run(self._client.hkeys(KEYS.open_claims))
        gone = {room for room in held if room not in self.claimed and room not in self.joined}
        with mock.patch("voicefleet.controller.calls.scanning.ORPHAN_MS", 0):
            self.books[0].scanner.forget()
            self.run(self._two_rounds())
        self._scanned()
        assert set(self.run(self._client.hkeys(KEYS.open_claims))) == set(held) - gone

    async def _two_rounds(self) -> None:
        """Two times through all that is held: in the first an orphan is seen, after it it is closed."""
        book = self.books[0].scanner
        for _ in range(2):
            book._heard_ms = 0
            await book.scan()
            while book._listeners_at != "0":
                await book.scan()

    def teardown(self) -> None:
        self.scans(0)
        self.scans(1)

    @invariant()
    def ledger_adds_up(self) -> None:
        ledger = {name: int(count) for name, count in self.run(self._client.hgetall(KEYS.ledger)).items()}
        opened = ledger.pop("opened", 0)
        assert opened == sum(ledger.values()) + self.run(self._client.hlen(KEYS.open_claims))


def play(url: str, examples: int) -> None:
    small: dict[str, Any] = {"PART": 3, "LISTENERS_PART": 2, "LOOK_AT_ALL_MS": 0}
    with (
        asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner,
        mock.patch.multiple("voicefleet.controller.calls.scanning", **small),
        # A claim must run out only where the model says so.
        mock.patch("voicefleet.runtime.redis.claim_store.ACCEPTED_TTL_MS", FOR_MS),
    ):
        client = connect_redis(url, timeout_s=60.0)
        # Small sets are walked through whole; these are not small to it, so that the parts are parts.
        for name in ("zset-max-listpack-entries", "hash-max-listpack-entries"):
            runner.run(_awaited(client.config_set(name, 0)))
        try:
            explore(lambda: QueueMachine(runner, client), examples)
        finally:
            runner.run(client.aclose())


def test_the_queue_is_what_callers_and_claims_make_it(redis_server: servers.Redis) -> None:
    play(redis_server.url, 150)
