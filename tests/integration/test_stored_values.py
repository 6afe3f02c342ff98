"""Values of another schema version in a real Redis: read as unknown, logged once, never misread."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import structlog.testing

from voicefleet.contract import codec
from voicefleet.contract.calls import CallRecord
from voicefleet.contract.claims import Claim, ClaimState, Handoff
from voicefleet.contract.keys import Keys
from voicefleet.contract.reports import WorkerOrder, WorkerReport
from voicefleet.controller.calls.call_store import CallStore
from voicefleet.controller.pool.worker_store import WorkerStore
from voicefleet.runtime.redis import values
from voicefleet.runtime.redis.claim_store import ClaimStore, Refused, Turn, Yielded
from voicefleet.runtime.redis.connection import RedisClient, Scripts, connect_redis
from voicefleet.stack import servers

pytestmark = pytest.mark.integration

KEYS = Keys("eu")
OTHER_VERSIONS = [codec.SCHEMA_VERSION - 1, codec.SCHEMA_VERSION + 1, None]


@pytest.fixture
async def redis(redis_server: servers.Redis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RedisClient]:
    monkeypatch.setattr(values, "_logged", set())
    client = connect_redis(redis_server.url)
    await client.flushdb()
    yield client
    await client.aclose()


def other(value: object, version: int | None) -> str:
    """`value` as a release with another schema version writes it; None: with none at all."""
    raw = json.loads(codec.dump(value))
    return json.dumps({name: item for name, item in {**raw, "v": version}.items() if item is not None})


@pytest.mark.parametrize("version", OTHER_VERSIONS)
async def test_a_claim_of_another_version_is_somebody_s(redis: RedisClient, version: int | None) -> None:
    text = other(Claim("w", "j", 1, ClaimState.LIVE, "RM"), version)
    await redis.set(KEYS.claim("room"), text, px=60_000)
    scripts = Scripts(redis)
    claims, store = ClaimStore(scripts, "eu"), CallStore(redis, scripts, "eu", grace_ms=0)
    await store.caller_joined("room")
    with structlog.testing.capture_logs() as logged:
        assert await claims.accept("room", "RM", worker="w", job="j") == Refused(None)
        assert await claims.renew("room", "RM", worker="w", job="j", epoch=1) is None
        assert not await claims.release("room", job="j")
        assert not await claims.begin_handoff("room", job="j")
        assert await claims.ready("room", job="j") is Turn.OVER
        assert await claims.hand_over("room", job="j") is Yielded.LOST
        assert not await claims.fence("room", ["j"])
        found = await store.claim("room")
        assert found is not None
        assert (found.worker, found.job) == ("", "")
        assert not await claims.recover("room", found), "a claim that cannot be read is nobody's to recover"
        (call,) = (await store.scan()).calls
        assert (call.state, call.rank) == ("live", None), "its caller does not wait: somebody has the call"
        assert await store.take(5) == []
    assert await redis.get(KEYS.claim("room")) == text
    assert [record["kind"] for record in logged if record["log_level"] == "warning"] == ["Claim"]


@pytest.mark.parametrize("version", OTHER_VERSIONS)
async def test_other_values_of_another_version_are_unknown(redis: RedisClient, version: int | None) -> None:
    scripts = Scripts(redis)
    claims, store, workers = (
        ClaimStore(scripts, "eu"),
        CallStore(redis, scripts, "eu", grace_ms=0),
        WorkerStore(redis, "eu"),
    )
    report = WorkerReport("w", "eu", "ready", 4, 0, 0, 1.0)
    handoff = other(Handoff("j", "w", "ready", "k", "x"), version)
    await claims.accept("room", "RM", worker="w", job="j")
    await claims.renew("room", "RM", worker="w", job="j", epoch=1)
    await redis.set(KEYS.handoff("room"), handoff)
    await redis.set(KEYS.call("room"), other(CallRecord("room", "eu", priority=9), version))
    await redis.set(KEYS.report("w"), other(report, version))
    await redis.set(KEYS.report("v"), codec.dump(report))
    await redis.set(KEYS.order("v"), other(WorkerOrder(1, cordon=True), version))
    await redis.zadd(KEYS.workers, {"w": 1e15, "v": 1e15})
    await store.caller_joined("waits")
    await redis.set(KEYS.call("waits"), other(CallRecord("waits", "eu", priority=9), version))
    with structlog.testing.capture_logs() as logged:
        for _ in range(2):
            assert await store.records(["room"]) == {}
            assert await store.handoffs(["room"]) == {}
            assert await workers.read() == {}
        assert await claims.hand_over("room", job="j") is Yielded.KEPT
        assert await claims.ready("room", job="k") is Turn.OVER
        renewed = await claims.renew("room", "RM", worker="w", job="j", epoch=1)
        assert renewed is not None
        assert renewed.handoff is None
        calls = {call.room: call for call in (await store.scan()).calls}
        assert calls["waits"].rank == calls["waits"].joined_ms, "its priority is unknown"
    assert await redis.get(KEYS.handoff("room")) == handoff
    kinds = sorted(str(record["kind"]) for record in logged if record["log_level"] == "warning")
    assert kinds == ["CallRecord", "Handoff", "WorkerOrder", "WorkerReport"], "each kind once"
