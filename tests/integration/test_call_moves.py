"""A call that goes on in another pool, in a real Redis: whole, once, and never back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.redis_programs import redis_programs, server
from voicefleet.contract.call_log import summarize
from voicefleet.contract.calls import CallOrder, CallRecord
from voicefleet.contract.claims import ClaimState
from voicefleet.contract.keys import Keys
from voicefleet.controller.calls.call_store import CallStore
from voicefleet.controller.canary.moves import CallMoves
from voicefleet.runtime.redis.claim_store import Accepted, Refused
from voicefleet.runtime.redis.connection import RedisClient, Scripts

pytestmark = pytest.mark.integration

OLD, NEW = "eu-sales-v2", "eu-sales-v1"
PROGRAMS = redis_programs()
RECORD = CallRecord("room", OLD, CallOrder(tier="fast"), key="web")


@dataclass
class Pools:
    """Both pools, with a call in the old one that has just lost its agent `j1`."""

    redis: RedisClient
    old: CallStore
    new: CallStore
    moves: CallMoves

    async def move(self) -> None:
        taken = await self.moves.out("room")
        assert taken is not None
        await self.moves.into("room", taken, CallRecord("room", NEW, RECORD.order, key="web"))
        await self.moves.done("room", taken.call)

    async def ledger_balances(self, pool: str) -> bool:
        ledger = {str(name): int(n) for name, n in (await self.redis.hgetall(Keys(pool).ledger)).items()}
        opened = ledger.pop("opened", 0)
        return opened == sum(ledger.values()) + await self.redis.hlen(Keys(pool).open_claims)


@pytest.fixture(params=sorted(PROGRAMS))
async def pools(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pools]:
    async with server(PROGRAMS[request.param], tmp_path / "redis") as found:
        redis, scripts = found.admin, Scripts(found.admin)
        old, new = (CallStore(redis, scripts, pool, grace_ms=0) for pool in (OLD, NEW))
        await old.save_record(RECORD)
        await old.caller_joined("room", "RM_1")
        await old.claims.accept("room", "RM_1", worker="w1", job="j1")
        assert await old.claims.renew("room", "RM_1", worker="w1", job="j1", epoch=0)
        await redis.set(Keys(OLD).transcript("room"), "what was said", px=60_000)
        claim = await old.claim("room")
        assert claim is not None
        assert await old.claims.recover("room", claim)
        yield Pools(redis, old, new, CallMoves(redis, OLD, NEW))


async def test_everything_goes_with_the_call_and_its_next_agent_carries_on(pools: Pools) -> None:
    before = (await pools.old.scan()).calls[0]
    await pools.move()
    (call,) = (await pools.new.scan()).calls
    assert (call.room, call.state, call.joined_ms) == ("room", "waiting", before.joined_ms)
    assert (await pools.new.records(["room"]))["room"].key == "web"
    assert await pools.redis.get(Keys(NEW).transcript("room")) == "what was said"
    accepted = await pools.new.claims.accept("room", "RM_1", worker="w9", job="j9")
    assert isinstance(accepted, Accepted)
    assert accepted.epoch > 1, "higher than those that the call had before"
    assert await pools.new.claims.renew("room", "RM_1", worker="w9", job="j9", epoch=accepted.epoch)
    log = await pools.new.logs.newest("room")
    assert log is not None
    told = summarize(log, await pools.new.logs.now_ms())
    assert [(part.worker, part.how) for part in told.agents] == [("w1", "answered"), ("w9", "recovered")]
    assert "other_version" in [entry.what for entry in told.timeline]
    # Nothing is left of it but the mark.
    assert (await pools.old.scan()).calls == ()
    assert await pools.old.records(["room"]) == {}
    assert await pools.old.logs.newest("room") is None
    assert await pools.moves.moved("room")
    assert await pools.ledger_balances(OLD)
    assert await pools.ledger_balances(NEW)


async def test_no_job_of_the_old_pool_gets_it_back(pools: Pools) -> None:
    await pools.move()
    for attempt in (0, 1):
        late = await pools.old.claims.accept("room", "RM_1", worker="w2", job=f"j{attempt}", attempt=attempt)
        assert isinstance(late, Refused)
    assert await pools.old.claims.renew("room", "RM_1", worker="w2", job="unclaimed", epoch=0) is None
    again = await pools.old.claims.accept("room", "RM_2", worker="w2", job="j3")
    assert isinstance(again, Accepted), "another room of the same name is another call"


async def test_a_move_that_was_broken_off_is_seen_and_goes_on(pools: Pools) -> None:
    taken = await pools.moves.out("room")
    assert taken is not None
    (call,) = (await pools.old.scan()).calls
    assert call.state == "moved", "it does not wait here, and is not forgotten"
    await pools.moves.into("room", taken, RECORD)
    await pools.new.claims.accept("room", "RM_1", worker="w9", job="j9")
    await pools.move()
    claim = await pools.new.claim("room")
    assert claim is not None
    assert (claim.job, claim.state) == ("j9", ClaimState.ACCEPTED)
    assert (await pools.old.scan()).calls == ()


async def test_a_call_that_a_job_has_is_not_moved(pools: Pools) -> None:
    assert isinstance(await pools.old.claims.accept("room", "RM_1", worker="w2", job="j2"), Accepted)
    assert await pools.moves.out("room") is None
    assert not await pools.moves.moved("room")
    assert await pools.moves.out("another room") is None
