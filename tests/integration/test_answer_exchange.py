"""Replicas that tell each other, through a real Redis, how they answered: one of them knows of all who were refused."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.fake_region import FakeRegion
from voicefleet.contract import codec
from voicefleet.contract.keys import Keys
from voicefleet.controller.health.observe import observe
from voicefleet.controller.http.answer_exchange import GONE_MS, AnswerExchange, Answers
from voicefleet.controller.regions.refusals import KEPT_S
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.redis.connection import RedisClient, connect_redis

pytestmark = pytest.mark.integration

KEY = Keys("eu").answers


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    client = connect_redis(redis_url)
    await client.flushdb()
    yield client
    await client.aclose()


def replica(name: str, **answers: int) -> Region:
    region = FakeRegion(replica=name).region
    for result, count in answers.items():
        for _ in range(count):
            region.refusals.note(result)
    return region


async def later(redis: RedisClient, name: str, by_ms: float) -> None:
    """As if the replica had told for the last time so long ago."""
    told = codec.load(Answers, str(await redis.hget(KEY, name)))
    await redis.hset(KEY, name, codec.dump(Answers(round(told.at_ms - by_ms), told.within)))


async def test_each_replica_counts_whom_the_others_refused_until_they_are_gone(redis: RedisClient) -> None:
    one, two = replica("a", full=2, ticket=3), replica("b", full=5, limited=1)
    exchanges = [AnswerExchange(region, redis) for region in (one, two)]
    for exchange in (*exchanges, exchanges[0]):
        await exchange.once()
    for region in (one, two):
        seen = observe(region)
        assert (seen.refused, seen.accepted) == ({"full": 7, "limited": 1}, 3)
    await later(redis, "b", GONE_MS)
    await exchanges[0].once()
    assert observe(one).refused == {"full": 2}, "what was told long ago may be over"
    assert set(await redis.hkeys(KEY)) == {"a", "b"}
    await later(redis, "b", KEPT_S * 1000)
    await exchanges[0].once()
    assert await redis.hkeys(KEY) == ["a"]


async def test_a_newer_releases_words_are_not_heard_and_not_removed(redis: RedisClient) -> None:
    await redis.hset(KEY, "newer", '{"v": 99, "within": "?"}')
    region = replica("a", full=1)
    await AnswerExchange(region, redis).once()
    assert observe(region).refused == {"full": 1}
    assert "newer" in await redis.hkeys(KEY)
