"""Past calls in a real Redis: kept for days, bounded in number, found again, and as large as the documents say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.past_calls import past_call
from voicefleet.contract.call_archive import Place, Retention
from voicefleet.contract.call_log import MOST_NOTES, summarize
from voicefleet.contract.keys import Keys
from voicefleet.controller.calls.call_archive import CallArchive
from voicefleet.controller.calls.call_store import CallStore
from voicefleet.runtime.redis.connection import RedisClient, Scripts

pytestmark = pytest.mark.integration

KEYS = Keys("eu")
STATED_BYTES = 1_500
"""Of one past call of ten turns, in the README and in the setting `call_history.calls`."""


async def whole_call(store: CallStore, room: str, *, sid: str = "", turns: int = 1) -> str:
    """A caller joins, is served for some turns, and leaves; its id."""
    sid = sid or f"RM_{room}"
    await store.caller_joined(room, sid)
    await store.claims.accept(room, sid, worker="eu-1", job=f"j-{sid}")
    await store.claims.renew(room, sid, worker="eu-1", job=f"j-{sid}", epoch=0)
    turn = {"e": "turn", "ago_ms": 0, "outcome": "completed", "ttfa_s": 0.5, "stages": {"llm_ttft": 0.2}}
    facts = [turn] * turns
    await store.logs.add_facts(room, sid, job=f"j-{sid}", tier="fast", language="", trace="ab" * 16, facts=facts)
    await store.caller_left(room)
    await store.claims.release(room, job=f"j-{sid}")
    await store.room_finished(room, sid)
    log = await store.logs.newest(room)
    assert log is not None
    assert await store.archive.close(log, summarize(log, await store.logs.now_ms(), over=True))
    return log.call


async def pack_all(store: CallStore, redis: RedisClient) -> None:
    """As if a minute had passed."""
    for call in await redis.zrange(KEYS.unpacked_calls, 0, -1):
        await redis.zadd(KEYS.unpacked_calls, {str(call): 1})
    await store.archive.pack_due()


async def rooms(archive: CallArchive, limit: int = 100) -> list[str]:
    """Of all past calls, page by page."""
    found, place = [], Place(0)
    while True:
        page, more = await archive.page(place, 10**15, limit)
        found += [row.room for row in page]
        if more is None:
            return found
        place = more


async def test_a_call_is_the_same_before_and_after_it_is_packed(redis: RedisClient) -> None:
    store = CallStore(redis, Scripts(redis), "eu", grace_ms=0)
    call = await whole_call(store, "r1")
    before = await store.archive.find("r1")
    assert await rooms(store.archive) == ["r1"], "listed at once"
    await pack_all(store, redis)
    assert not await redis.exists(KEYS.call_log(call), KEYS.call_facts(call))
    assert 6 * 86_400_000 < await redis.pttl(KEYS.past_call(call)) <= 7 * 86_400_000
    for name in ("r1", call):
        after = await store.archive.find(name)
        assert before is not None
        assert after is not None
        assert summarize(after, 0) == summarize(before, 0)
        assert summarize(after, 0).trace_id == "ab" * 16
    assert await rooms(store.archive) == ["r1"]
    assert not await store.logs.first_to_end("r1", call), "nothing is written of a packed call"
    assert not await redis.exists(KEYS.call_log(call))


async def test_a_caller_who_comes_back_to_a_packed_room_has_another_call(redis: RedisClient) -> None:
    store = CallStore(redis, Scripts(redis), "eu", grace_ms=0)
    first = await whole_call(store, "r1")
    await pack_all(store, redis)
    second = await whole_call(store, "r1", sid=first)
    assert second == f"{first}.2"
    newest, older = await store.archive.find("r1"), await store.archive.find(first)
    assert newest is not None
    assert older is not None
    assert (newest.call, older.call) == (second, first)
    await pack_all(store, redis)
    assert await rooms(store.archive) == ["r1", "r1"]


async def test_the_oldest_make_room_and_pages_show_each_call_once(redis: RedisClient) -> None:
    store = CallStore(redis, Scripts(redis), "eu", grace_ms=0, retention=Retention(86_400_000, 7))
    for number in range(10):
        await whole_call(store, f"r{number}")
        if number % 2:
            await pack_all(store, redis)
    assert await rooms(store.archive, 3) == [f"r{number}" for number in range(3, 10)]
    assert await store.archive.find("r0") is None
    await pack_all(store, redis)
    left = [key for key in await redis.keys("*") if "past_call:" in key or "call_log:" in key or "call_of:" in key]
    assert len(left) == 14, "one value and one name of each"
    oldest = await store.archive.oldest_ms()
    page, _ = await store.archive.page(Place(0), 10**15, 1)
    assert oldest == page[0].opened_ms


async def test_a_past_call_takes_what_the_documents_say(redis: RedisClient) -> None:
    """A thousand calls of ten turns, each one different: what Redis needs more than before, everything counted."""
    store = CallStore(redis, Scripts(redis), "eu", grace_ms=0)
    await redis.set(KEYS.call_events_wanted, "0")  # else each end is kept for a receiver, too
    await whole_call(store, "warm")
    before = (await redis.info("memory"))["used_memory"]
    for number in range(1_000):
        call = past_call(seed=number)
        room, id = call.room, f"RM_{number:012d}"
        noted: dict[Any, Any] = {**call.log, "over_ms": call.log["ended_ms"]}
        await redis.hset(KEYS.call_log(id), mapping=noted)
        await redis.hdel(KEYS.call_log(id), "ended_ms")
        await redis.rpush(KEYS.call_facts(id), *(json.dumps(dict(fact)) for fact in call.facts))
        await redis.set(KEYS.call_of(room), id, px=1000)
        log = await store.logs.read(id)
        assert log is not None
        assert await store.archive.close(log, summarize(log, 0, over=True))
        await pack_all(store, redis)
    each = ((await redis.info("memory"))["used_memory"] - before) / 1_000
    assert 0.5 * STATED_BYTES < each < STATED_BYTES, each


async def test_what_a_controller_sees_is_noted_once_until_it_changes(redis: RedisClient) -> None:
    store = CallStore(redis, Scripts(redis), "eu", grace_ms=0)
    await store.caller_joined("r1", "RM_1")
    for _ in range(3):
        await store.logs.note(["r1", "nobody"], {"e": "waiting", "why": "full", "slots": 2}, "full")
    await store.logs.note(["r1"], {"e": "waiting", "why": "no_worker"}, "no_worker")
    log = await store.logs.newest("r1")
    assert log is not None
    assert [fact["why"] for fact in log.facts if fact["e"] == "waiting"] == ["full", "no_worker"]
    for number in range(2 * MOST_NOTES):
        await store.logs.note(["r1"], {"e": "waiting", "why": "full"}, str(number))
    log = await store.logs.newest("r1")
    assert log is not None
    assert sum(fact["e"] == "waiting" for fact in log.facts) == MOST_NOTES


async def test_a_lost_agent_says_why_and_since_when(redis: RedisClient) -> None:
    store = CallStore(redis, Scripts(redis), "eu", grace_ms=0)
    await store.caller_joined("r1", "RM_1")
    await store.claims.accept("r1", "RM_1", worker="eu-1", job="j1")
    await store.claims.renew("r1", "RM_1", worker="eu-1", job="j1", epoch=0)
    claim = await store.claim("r1")
    assert claim is not None
    assert await store.claims.recover("r1", claim, "worker_ended")
    log = await store.logs.newest("r1")
    assert log is not None
    [lost] = [fact for fact in log.facts if fact["e"] == "lost"]
    assert lost["why"] == "worker_ended"
    assert lost["t"] - lost.get("silent_ms", 0) == claim.renewed_ms
