"""A leader that slept: its machine was suspended between the look at its Lease and what it was about to order."""

from __future__ import annotations

import pytest

from voicefleet.contract import codec
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.keys import Keys
from voicefleet.contract.reports import WorkerOrder
from voicefleet.controller.leader.leadership import Term
from voicefleet.controller.pool.worker_store import WorkerStore
from voicefleet.runtime.redis.connection import RedisClient, connect_redis

pytestmark = pytest.mark.integration

KEYS = Keys("eu")
SLEEPER, LEADER = Term("lease", 7), Term("lease", 8)


async def order_of(redis: RedisClient, worker: str) -> WorkerOrder | None:
    text = await redis.get(KEYS.order(worker))
    return codec.load(WorkerOrder, text) if text else None


async def test_what_a_leader_before_orders_is_refused_once_another_leads(redis_url: str) -> None:
    redis = connect_redis(redis_url)
    try:
        before, now = WorkerStore(redis, "eu"), WorkerStore(redis, "eu")
        await before.enter(SLEEPER)
        await before.order("a", cordon=True, after=0, term=SLEEPER)
        first = await order_of(redis, "a")
        assert first is not None
        await now.enter(LEADER)
        with pytest.raises(UnknownStateError, match="another replica leads since"):
            await before.order("b", cordon=True, after=0, term=SLEEPER)
        with pytest.raises(UnknownStateError, match="another replica leads since"):
            await before.enter(SLEEPER)
        assert (await order_of(redis, "a"), await order_of(redis, "b")) == (first, None)
        await now.order("b", cordon=True, after=0, term=LEADER)
        second = await order_of(redis, "b")
        assert second is not None
        assert second.cordon
        # Bringing a worker back is nobody's alone, and a Lease that was made anew counts from the beginning.
        await before.order("b", cordon=False, after=second.serial)
        await before.order("a", cordon=True, after=first.serial, term=Term("another lease", 1))
        assert (await order_of(redis, "b") or second).cordon is False
        assert 0 < await redis.ttl(KEYS.term("lease")) <= 86_400
    finally:
        await redis.aclose()
