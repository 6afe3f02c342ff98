"""The log of a call in a real Redis: written by the scripts that change claims and callers, whoever runs them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.redis_programs import redis_programs, server
from voicefleet.contract.call_events import CallState, EndReason
from voicefleet.contract.call_log import FLUSH_MS, summarize
from voicefleet.contract.calls import CallOrder, CallRecord
from voicefleet.contract.claims import Claim, ClaimState
from voicefleet.contract.keys import Keys
from voicefleet.controller.calls.call_store import CallStore
from voicefleet.runtime.redis.acl import worker_rights
from voicefleet.runtime.redis.connection import RedisClient, Scripts, connect_redis

pytestmark = pytest.mark.integration

KEYS = Keys("eu")
DAY_MS = 86_400_000
PROGRAMS = redis_programs()


class Calls:
    """One room, as workers and controllers change it."""

    def __init__(self, redis: RedisClient) -> None:
        self.redis = redis
        self.store = CallStore(redis, Scripts(redis), "eu", grace_ms=0)
        self.claims, self.logs = self.store.claims, self.store.logs

    async def serve(self, worker: str, job: str, *, sid: str = "RM_1") -> None:
        await self.claims.accept("room", sid, worker=worker, job=job)
        assert await self.claims.renew("room", sid, worker=worker, job=job, epoch=0)

    async def hand_over(self, job: str, worker: str, successor: str) -> None:
        await self.claims.begin_handoff("room", job=job)
        await self.claims.accept("room", "RM_1", worker=worker, job=successor)
        await self.claims.ready("room", job=successor)
        await self.claims.hand_over("room", job=job)
        assert await self.claims.renew("room", "RM_1", worker=worker, job=successor, epoch=0)

    async def lose(self) -> None:
        claim = await self.store.claim("room")
        assert claim is not None
        assert await self.claims.recover("room", claim)

    async def end(self) -> str:
        """Close the call that is over, as if its job had had time for its last words; its id."""
        over = await self.over()
        log = await self.logs.read(over[0])
        assert log is not None
        assert await self.store.archive.close(log, summarize(log, await self.logs.now_ms(), over=True))
        return over[0]

    async def over(self) -> list[str]:
        for call in map(str, await self.redis.zrange(KEYS.open_calls, 0, -1)):
            if await self.redis.hexists(KEYS.call_log(call), "over_ms"):
                await self.redis.hincrby(KEYS.call_log(call), "over_ms", -FLUSH_MS)
            await self.redis.zadd(KEYS.open_calls, {call: 1})
        return await self.logs.over()

    async def events(self) -> list[tuple[str, dict[str, Any]]]:
        found: Any = await self.redis.xrange(KEYS.call_events)
        return [(fields["id"], json.loads(fields["data"])) for _, fields in found]


@pytest.fixture(params=sorted(PROGRAMS))
async def calls(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Calls]:
    async with server(PROGRAMS[request.param], tmp_path / "redis") as found:
        await found.admin.set(KEYS.call_events_wanted, "1")
        yield Calls(found.admin)


async def test_a_call_from_its_caller_to_its_end(calls: Calls) -> None:
    """Answered, handed over, its job lost, another one has it, and the room is closed: each is told once."""
    order = CallOrder(tier="fast", language="de", metadata="a name")
    await calls.store.save_record(CallRecord("room", "eu", order, key="web"))
    await calls.store.caller_joined("room", "RM_1")
    await calls.store.caller_joined("room", "RM_1")
    await calls.serve("w1", "j1")
    assert await calls.logs.add_facts(
        "room",
        "RM_1",
        job="j1",
        tier="fast",
        language="",
        facts=[
            {"e": "turn", "ago_ms": 0, "outcome": "completed", "ttfa_s": 0.5, "stages": {"llm_ttft": 0.2}},
            {"e": "interruption", "ago_ms": 5, "kind": "barge_in"},
            {"e": "turn", "ago_ms": 0, "outcome": "session_closed", "stages": {}},
        ],
    )
    await calls.hand_over("j1", "w2", "j2")
    await calls.lose()
    await calls.serve("w3", "j3")
    log = await calls.logs.newest("room")
    assert log is not None
    now = summarize(log, await calls.logs.now_ms())
    assert (now.state, now.tier, now.language, now.key) == (CallState.SERVED, "fast", "de", "web")
    assert [(p.worker, p.how, p.end) for p in now.agents] == [
        ("w1", "answered", "moved"),
        ("w2", "moved", "lost"),
        ("w3", "recovered", ""),
    ]
    assert [(t.outcome, t.ttfa_s, t.stages, t.epoch) for t in now.turns] == [
        ("completed", 0.5, {"llm_ttft": 0.2}, now.agents[0].epoch),
        ("session_closed", None, {}, now.agents[0].epoch),
    ]
    assert now.interruptions == 1
    await calls.claims.release("room", job="j3")
    assert await calls.store.room_finished("room", "RM_1")
    assert await calls.end() == "RM_1"
    events = await calls.events()
    first, second, third = (part.epoch for part in now.agents)
    assert [id for id, _ in events] == [
        "RM_1.started",
        f"RM_1.answered.{first}",
        f"RM_1.moved.{second}",
        f"RM_1.recovered.{third}",
        "RM_1.ended",
    ]
    assert events[2][1] == {"room": "room", "worker": "w2", "from_worker": "w1", "epoch": second}
    assert events[3][1]["gap_s"] >= 0
    ended = events[-1][1]
    assert (ended["reason"], ended["state"], len(ended["turns"])) == ("room_closed", "ended", 2)
    assert "a name" not in json.dumps(events)
    assert await calls.logs.over() == []
    log = await calls.logs.newest("room")
    assert log is not None
    assert summarize(log, 0).reason == EndReason.ROOM_CLOSED
    assert 6 * DAY_MS < await calls.redis.pttl(KEYS.call_log("RM_1")) <= 7 * DAY_MS


async def test_a_caller_who_never_got_an_agent_abandoned_the_call(calls: Calls) -> None:
    await calls.store.caller_joined("room", "RM_1")
    await calls.store.caller_left("room")
    assert await calls.logs.over() == [], "the page may be loading anew"
    await calls.store.room_finished("room", "RM_1")
    await calls.end()
    assert [(id, data.get("reason")) for id, data in await calls.events()] == [
        ("RM_1.started", None),
        ("RM_1.ended", "abandoned"),
    ]


async def test_a_caller_who_is_back_has_the_same_call_and_one_who_comes_after_its_end_another(calls: Calls) -> None:
    await calls.store.caller_joined("room", "RM_1")
    await calls.store.caller_left("room")
    await calls.store.caller_joined("room", "RM_1")
    log = await calls.logs.newest("room")
    assert log is not None
    assert "left_ms" not in log.log
    await calls.store.caller_left("room")
    await calls.redis.hset(KEYS.call_log("RM_1"), mapping={"left_ms": 1, "opened_ms": 1})
    await calls.redis.zadd(KEYS.open_calls, {"RM_1": 1})
    assert await calls.end() == "RM_1"
    await calls.store.caller_joined("room", "RM_1")
    assert [id for id, _ in await calls.events()] == ["RM_1.started", "RM_1.ended", "RM_1.2.started"]


async def test_an_agent_that_went_after_its_caller_was_not_lost(calls: Calls) -> None:
    """A page that is reloaded late; a job that leaves while its caller is there is another matter."""
    await calls.store.caller_joined("room", "RM_1")
    await calls.serve("w1", "j1")
    await calls.store.caller_left("room")
    await calls.claims.release("room", job="j1")
    await calls.store.caller_joined("room", "RM_1")
    await calls.serve("w2", "j2")
    await calls.claims.release("room", job="j2")
    await calls.serve("w3", "j3")
    names = [id.split(".")[1] for id, _ in await calls.events()]
    assert names == ["started", "answered", "answered", "recovered"]


async def test_a_released_call_is_told_and_answered_anew_when_somebody_asks(calls: Calls) -> None:
    await calls.store.caller_joined("room", "RM_1")
    await calls.serve("w1", "j1")
    await calls.claims.release("room", job="j1", room_sid="RM_1", released="human")
    log = await calls.logs.newest("room")
    assert log is not None
    seen = summarize(log, await calls.logs.now_ms())
    assert (seen.state, seen.reason) == (CallState.RELEASED, "human")
    assert await calls.store.want_agent("room")
    await calls.serve("w2", "j2")
    (_, _, (released, data), (answered, _)) = await calls.events()
    assert (released.split(".")[1], data["reason"], data["worker"]) == ("released", "human", "w1")
    assert answered.split(".")[1] == "answered"


async def test_a_newer_room_of_the_same_name_ends_the_call_in_the_older_one(calls: Calls) -> None:
    await calls.store.caller_joined("room", "RM_1")
    await calls.store.caller_joined("room", "RM_2")
    assert await calls.end() == "RM_1"
    assert [(id, data.get("reason")) for id, data in await calls.events()][1:] == [
        ("RM_2.started", None),
        ("RM_1.ended", "room_lost"),
    ]


async def test_a_job_that_comes_late_opens_no_call_that_has_ended(calls: Calls) -> None:
    await calls.store.caller_joined("room", "RM_1")
    await calls.serve("w1", "j1")
    await calls.store.room_finished("room", "RM_1")
    await calls.end()
    told = len(await calls.events())
    await calls.claims.renew("room", "RM_1", worker="w1", job="j1", epoch=1)
    await calls.claims.release("room", job="j1")
    assert len(await calls.events()) == told
    assert not await calls.logs.add_facts("room", "RM_1", job="other", tier="", language="", facts=[])


async def test_redis_that_forgot_everything_has_the_events_told_with_the_same_ids(calls: Calls) -> None:
    await calls.store.caller_joined("room", "RM_1")
    await calls.serve("w1", "j1")
    before = [id for id, _ in await calls.events()]
    await calls.redis.flushdb()
    await calls.redis.set(KEYS.call_events_wanted, "1")
    assert await calls.claims.renew("room", "RM_1", worker="w1", job="j1", epoch=1)
    assert [id for id, _ in await calls.events()] == before


async def test_rights_that_lack_the_log_cost_the_log_and_no_claim(calls: Calls) -> None:
    """Workers of this release over a user that an older one made."""
    await calls.redis.execute_command(  # type: ignore[no-untyped-call]
        *("ACL", "SETUSER", "old", "on", ">secret", "+@all", "resetkeys"),
        *(f"~{key}" for key in worker_rights("eu").keys if "call" not in key),
    )
    port = calls.redis.connection_pool.connection_kwargs["port"]
    old = connect_redis(f"redis://old:secret@127.0.0.1:{port}/0")
    try:
        worker = Calls(old)
        await worker.serve("w1", "j1")
    finally:
        await old.aclose()
    claim = await calls.store.claim("room")
    assert isinstance(claim, Claim)
    assert claim.state == ClaimState.LIVE
    assert await calls.logs.newest("room") is None


async def test_more_facts_than_are_kept_are_counted(calls: Calls) -> None:
    await calls.store.caller_joined("room", "RM_1")
    await calls.serve("w1", "j1")
    turn = {"e": "turn", "ago_ms": 0, "outcome": "completed", "stages": {}}
    for _ in range(11):
        await calls.logs.add_facts("room", "RM_1", job="j1", tier="t", language="", facts=[turn] * 100)
    log = await calls.logs.newest("room")
    assert log is not None
    seen = summarize(log, await calls.logs.now_ms())
    assert len(log.facts) == 1_000
    assert len(seen.turns) + seen.more_facts == 1_100


async def test_two_replicas_end_a_call_once(calls: Calls) -> None:
    await calls.store.caller_joined("room", "RM_1")
    await calls.store.room_finished("room", "RM_1")
    over = await calls.over()
    log = await calls.logs.read(over[0])
    assert log is not None
    summary = summarize(log, await calls.logs.now_ms(), over=True)
    assert sorted(await asyncio.gather(*(calls.store.archive.close(log, summary) for _ in range(5)))) == [False] * 4 + [
        True
    ]
    assert [id for id, _ in await calls.events()] == ["RM_1.started", "RM_1.ended"]
