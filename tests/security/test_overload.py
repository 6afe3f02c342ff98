"""Overload: nothing that callers do, or that one room is, freezes a region, its queue or its book."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from support.controlling import KEYS, Running, controller, region
from support.eventually import eventually
from support.played_livekit import PlayedLiveKit, played_livekit
from voicefleet.controller.calls import scanning
from voicefleet.controller.calls.call_store import CallStore
from voicefleet.runtime.redis.claim_store import ClaimStore
from voicefleet.runtime.redis.connection import RedisClient, Scripts, connect_redis

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    client = connect_redis(redis_url)
    yield client
    await client.aclose()


async def said_by_webhooks(client: RedisClient, played: PlayedLiveKit, names: list[str]) -> None:
    """Callers in LiveKit and, as its webhooks tell of them, in Redis."""
    played.call(*names)
    book = CallStore(client, Scripts(client), "eu", grace_ms=1_000)
    for start in range(0, len(names), 500):
        # As `CallStore.joined`, for many at once: the script takes the time when it writes, so no scan misses it.
        await book.apply_listing(0, [(name, 0, "") for name in names[start : start + 500]], [])


async def view(running: Running) -> dict[str, Any]:
    return cast(dict[str, Any], (await running.get("/v1/regions"))["regions"][0])


async def is_known(running: Running) -> bool:
    seen = await view(running)
    return seen["waiting"] is not None and seen["ready"] is not None


async def test_one_room_that_cannot_be_listed_costs_that_room_only(
    tmp_path: Path, redis_url: str, redis: RedisClient
) -> None:
    async with (
        played_livekit(PlayedLiveKit()) as played,
        controller(tmp_path, cast(Any, played), redis_url) as running,
    ):
        await said_by_webhooks(redis, played, ["stuck"])
        played.broken = {"stuck", "never-seen"}
        played.call("never-seen", "new-1", "new-2")

        async def all_seen() -> bool:
            return set(await redis.zrange(KEYS.waiting, 0, -1)) == {"stuck", "new-1", "new-2"}

        await eventually(all_seen)
        await eventually(lambda: is_known(running))
        played.joined_ms["new-1"] = 0

        async def one_left() -> bool:
            return await redis.zscore(KEYS.callers, "new-1") is None

        await eventually(one_left)
        for _ in range(60):  # longer than a listing may be old
            assert await is_known(running)
            await asyncio.sleep(0.2)
        assert await redis.zscore(KEYS.callers, "stuck") is not None, "what cannot be listed is not gone"
        assert await running.metric('voicefleet_rooms_unknown{region="eu"}') == 2
        # It is found once it can be.
        played.broken.clear()

        async def zero() -> bool:
            return await running.metric('voicefleet_rooms_unknown{region="eu"}') == 0

        await eventually(zero, 40)
        assert await redis.zscore(KEYS.callers, "never-seen") is not None


async def test_2000_waiting_callers_do_not_make_a_slow_livekit_unknown(
    tmp_path: Path, redis_url: str, redis: RedisClient
) -> None:
    names = [f"call-{number}" for number in range(2_000)]
    async with (
        played_livekit(PlayedLiveKit(delay_s=0.1)) as played,
        controller(tmp_path, cast(Any, played), redis_url, listing_s=2.0) as running,
    ):
        await said_by_webhooks(redis, played, names)
        await eventually(lambda: is_known(running), 20)
        # As in the attack, over more than the time after which what was read is old. One caller leaves unseen.
        played.joined_ms["call-7"] = 0
        looks, known = 0, 0
        for _ in range(75):
            known += await is_known(running)
            looks += 1
            await asyncio.sleep(0.2)
        assert known == looks, f"unknown {looks - known} of {looks} times"

        async def found() -> bool:
            return await redis.zscore(KEYS.callers, "call-7") is None

        await eventually(found, 30)
        counts = [played.asked.get(name, 0) for name in names]
        assert max(counts) - min(counts) <= 1, "each in its turn"


async def test_unknown_rooms_do_not_keep_the_pool_from_growing(
    tmp_path: Path, redis_url: str, redis: RedisClient
) -> None:
    pool = {"min_workers": 1, "max_workers": 50, "slots": 2, "policy": "predictive"}
    async with (
        played_livekit(PlayedLiveKit()) as played,
        controller(tmp_path, cast(Any, played), redis_url, regions={"eu": region(cast(Any, played), pool=pool)}) as on,
        on.worker("w1", live=0),
    ):
        await eventually(lambda: is_known(on))
        played.away = True
        await eventually(lambda: unknown(on), 20)
        before = (await view(on))["desired_workers"]
        await said_by_webhooks(redis, played, [f"call-{number}" for number in range(60)])

        async def grown() -> bool:
            return int((await view(on))["desired_workers"]) >= 30

        await eventually(grown)
        assert before < 30
        (newest, *_) = (await on.get("/v1/decisions?limit=1"))["decisions"]
        assert newest["reason"] == "partial"
        assert "at least 0 live and 60 waiting" in newest["detail"]
        # They leave: that is known, too, but not that nobody else is there.
        desired = int((await view(on))["desired_workers"])
        await redis.delete(KEYS.callers, KEYS.waiting)
        await asyncio.sleep(1.0)
        assert int((await view(on))["desired_workers"]) >= desired


async def unknown(running: Running) -> bool:
    return not await is_known(running)


async def cost_us(redis: RedisClient, waiting: int) -> int:
    """The least time, of many, that Redis needs to take 10 calls of so many, with 50 under way."""
    await redis.flushall()
    book = CallStore(redis, Scripts(redis), "eu", grace_ms=0)
    for start in range(0, waiting, 1_000):
        await redis.zadd(KEYS.waiting, {f"call-{n:06d}": n for n in range(start, min(waiting, start + 1_000))})
    assert len(await book.take(50, most=50)) == 50
    await redis.config_set("slowlog-log-slower-than", 0)
    await redis.slowlog_reset()
    for _ in range(30):
        taken = await book.take(60, most=10)
        assert taken == [f"call-{n:06d}" for n in range(50, 60)]
        await redis.zrem(KEYS.inflight, *taken)
    await redis.config_set("slowlog-log-slower-than", -1)
    entries = await redis.slowlog_get(128)
    return min(int(entry["duration"]) for entry in entries if str(entry["command"]).find("EVALSHA") >= 0)


async def test_taking_from_a_long_queue_costs_redis_no_more_than_from_a_short_one(redis: RedisClient) -> None:
    short = await cost_us(redis, 200)
    assert await cost_us(redis, 20_000) <= 4 * short + 50


async def test_1000_calls_are_taken_in_two_commands(redis: RedisClient) -> None:
    book = CallStore(redis, Scripts(redis), "eu", grace_ms=0)
    await redis.zadd(KEYS.waiting, {f"call-{n:06d}": n for n in range(3_000)})
    taken = [await book.take(1_000, most=1_000), await book.take(1_000, most=500), await book.take(1_000, most=1)]
    assert [len(part) for part in taken] == [500, 500, 0]
    assert [*taken[0], *taken[1]] == [f"call-{n:06d}" for n in range(1_000)]


async def test_claims_whose_call_is_gone_leave_the_book(redis: RedisClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "ORPHAN_MS", 300)
    scripts = Scripts(redis)
    claims, book = ClaimStore(scripts, "eu"), CallStore(redis, scripts, "eu", grace_ms=0)
    rooms = [f"call-{number}" for number in range(200)]
    for number, room in enumerate((*rooms, "waits", "lives")):
        await claims.accept(room, "RM_1", worker="w1", job=f"J{number}")
    await book.caller_joined("waits")
    # The claims run out, and nobody tells that the rooms are over.
    await redis.delete(*(KEYS.claim(room) for room in (*rooms, "waits")))
    asked_for: set[str] = set()

    async def closed() -> bool:
        snapshot = await book.scan()
        asked_for.update(snapshot.not_listening)
        return int(await redis.hlen(KEYS.open_claims)) == 2

    snapshot = await book.scan()
    assert await redis.hlen(KEYS.open_claims) == 202, "whoever claimed a call last may come back for a while"
    await eventually(closed)
    # Only the one that has a claim and does not listen is looked at in each scan.
    assert asked_for | snapshot.not_listening == {"J201"}
    assert set(await redis.hkeys(KEYS.open_claims)) == {"waits", "lives"}
    ledger = {name: int(count) for name, count in (await redis.hgetall(KEYS.ledger)).items()}
    assert ledger == {"opened": 202, "expired": 200}
    # The webhook, late: nothing is counted twice.
    assert await book.room_finished(rooms[0], "RM_1")
    assert await redis.hget(KEYS.ledger, "expired") == "200"
