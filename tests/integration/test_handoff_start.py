"""A successor that starts slowly keeps its handoff in a real Redis, and does not give it a state that it has not."""

from __future__ import annotations

import pytest

from voicefleet.contract.claims import HANDOFF_READY_TTL_MS, HANDOFF_TTL_MS, Handoff
from voicefleet.contract.keys import Keys
from voicefleet.runtime.redis.claim_store import Accepted, ClaimStore, Succeeding, Turn, Yielded
from voicefleet.runtime.redis.connection import Scripts, connect_redis
from voicefleet.runtime.redis.values import read_value
from voicefleet.stack import servers

pytestmark = pytest.mark.integration

KEYS = Keys("eu")


async def test_a_slow_successor_keeps_the_handoff_until_it_is_ready(redis_server: servers.Redis) -> None:
    redis = connect_redis(redis_server.url)
    await redis.flushdb()
    claims = ClaimStore(Scripts(redis), "eu")

    async def handoff() -> Handoff:
        found = read_value(Handoff, await redis.get(KEYS.handoff("room")))
        assert found is not None
        return found

    assert isinstance(await claims.accept("room", "RM", worker="a", job="old"), Accepted)
    assert await claims.renew("room", "RM", worker="a", job="old", epoch=1) is not None
    assert await claims.begin_handoff("room", job="old")
    assert isinstance(await claims.accept("room", "RM", worker="b", job="new"), Succeeding)
    await redis.pexpire(KEYS.handoff("room"), 500)
    assert await claims.ready("room", job="new", starting=True) is Turn.WAIT
    assert HANDOFF_READY_TTL_MS < await redis.pttl(KEYS.handoff("room")) <= HANDOFF_TTL_MS
    assert (await handoff()).state == "accepted"
    assert await claims.hand_over("room", job="old") is Yielded.KEPT, "nobody is ready"
    assert await claims.ready("room", job="other", starting=True) is Turn.OVER
    assert await claims.ready("room", job="new") is Turn.WAIT
    assert await claims.ready("room", job="new", starting=True) is Turn.WAIT
    assert (await handoff()).state == "ready"
    assert await claims.hand_over("room", job="old") is Yielded.DONE
    assert await claims.ready("room", job="new", starting=True) is Turn.OURS
    await redis.aclose()
