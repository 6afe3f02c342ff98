"""Agents that go deaf or mute in the middle of a call: found by their own job, told in the claim, and replaced."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from integration.test_calls_survive import Fleet, fine, fleet, speakers
from integration.test_worker import call, claim_of
from redis.asyncio import Redis as RedisClient

from support.eventually import eventually, happens
from support.worker_process import KEYS
from voicefleet.chaos.breakable_agent import FILE_VARIABLE, TARGET, break_agent
from voicefleet.contract.claims import DEAF, MUTE, TROUBLE_PAUSE_MS, Claim
from voicefleet.runtime.redis.claim_store import ClaimStore
from voicefleet.runtime.redis.connection import Scripts
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration


async def test_agents_that_go_deaf_or_mute(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    orders = tmp_path / "senses.json"
    async with fleet(livekit, redis_url, tmp_path, agent=TARGET, **{FILE_VARIABLE: str(orders)}) as f:
        await asyncio.gather(broken(f, orders, DEAF), broken(f, orders, MUTE), well(f))


async def broken(f: Fleet, orders: Path, how: str) -> None:
    talking = asyncio.create_task(call(f.livekit, how, turns=4))

    async def greeted() -> bool:
        return await f.transcript(how) is not None

    assert await eventually(greeted, 30.0)
    old = await f.claim(how)
    began_s = time.monotonic()
    break_agent(orders, how, how)

    async def told() -> bool:
        claim = await claim_of(f.redis, how)
        return claim is not None and claim.trouble == how

    assert await eventually(told, 20.0), f"{how} and not found"
    print(how, "found after", round(time.monotonic() - began_s, 1))
    assert await f.claims.may_move(how, old)
    await f.recover(how, old)
    assert await eventually(lambda: f.moved(how, old), 5.0)
    new = await f.claim(how)
    outcome = await talking
    fine(outcome)
    assert speakers(outcome) == [old.job, new.job]


async def well(f: Fleet) -> None:
    """Beside them, and in the same minute, nobody else is in trouble."""
    talking = asyncio.create_task(call(f.livekit, "well", turns=4))
    troubled = False

    async def in_trouble() -> bool:
        claim = await claim_of(f.redis, "well")
        return claim is not None and claim.trouble != ""

    while not talking.done():
        troubled |= await happens(in_trouble, 1.0)
    assert not troubled
    outcome = await talking
    fine(outcome)
    assert len(speakers(outcome)) == 1


async def test_a_call_is_moved_twice_and_no_more(redis_url: str) -> None:
    async with RedisClient.from_url(redis_url, decode_responses=True) as redis:
        claims = ClaimStore(Scripts(redis), "test")

        async def may(job: str, sid: str = "RM_1") -> bool:
            return await claims.may_move("room", Claim("w-1", job, 1, "live", sid, trouble=DEAF))

        async def later(ms: int) -> None:
            key = KEYS.troubled("room")
            await redis.hset(key, "at_ms", str(int(await redis.hget(key, "at_ms") or 0) - ms))

        assert await may("AJ_1")
        assert await may("AJ_1"), "asked again, since LiveKit did not answer"
        assert not await may("AJ_2"), "a moment later"
        await later(TROUBLE_PAUSE_MS)
        assert await may("AJ_2")
        await later(100 * TROUBLE_PAUSE_MS)
        assert not await may("AJ_3"), "it may be the caller's own microphone"
        assert await may("AJ_9", "RM_2"), "another call, in a room of the same name"
