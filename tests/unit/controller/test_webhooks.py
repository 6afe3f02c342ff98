"""Webhooks on fakes: what each event changes, and that repeats, late ones and forged ones do no harm."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any, cast

import pytest
from aiohttp import web

from support.fake_livekit import sign
from support.fake_region import FakeRegion, with_region
from support.http_requests import request
from voicefleet.contract.calls import CallRecord
from voicefleet.controller.ports import WebhookEvent
from voicefleet.controller.rooms.webhooks import MAX_EVENT_BYTES, Webhooks

pytestmark = pytest.mark.unit


def app_of(fakes: FakeRegion) -> web.Application:
    app = web.Application()
    Webhooks({"eu": fakes.region}, cast(Any, fakes.limiter), fakes.joins, fakes.metrics).add_routes(app)
    return app


def event(name: str, room: str = "a", sid: str = "", *, caller: bool = False, agent: bool = False) -> bytes:
    return json.dumps(asdict(WebhookEvent(name, room, sid, caller, agent))).encode()


async def send(
    fakes: FakeRegion, body: bytes, *, path: str = "/webhooks/livekit/eu", signature: str | None = None, **more: Any
) -> int:
    headers = {"Authorization": sign(body) if signature is None else signature}
    return (await request(app_of(fakes), "POST", path, body, headers=headers, **more)).status


def counted(fakes: FakeRegion, result: str) -> float:
    return fakes.metrics.registry.get_sample_value("voicefleet_webhooks_total", {"result": result}) or 0.0


JOINED = event("participant_joined", caller=True)
LEFT = event("participant_left", caller=True)


def test_a_caller_who_joined_is_known_and_counted_for_the_key_of_its_ticket() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.join("a", key="front")
        assert await send(fakes, JOINED) == 200
        assert list(fakes.store.redis.callers) == ["a"]
        assert fakes.limiter.calls == {"front": {"a"}}
        assert await send(fakes, JOINED) == 200, "a repeat changes nothing"
        assert (counted(fakes, "ok"), fakes.limiter.calls) == (2, {"front": {"a"}})

    with_region(story)


def test_a_late_word_of_a_caller_who_is_gone_and_a_room_of_others_are_ignored() -> None:
    async def story(fakes: FakeRegion) -> None:
        assert await send(fakes, JOINED) == 200
        fakes.livekit.join("a", dispatch=None)
        assert await send(fakes, JOINED) == 200
        assert (fakes.store.redis.callers, counted(fakes, "ignored")) == ({}, 2)

    with_region(story)


@pytest.mark.parametrize("name", ["participant_left", "participant_connection_aborted"])
def test_the_last_caller_who_leaves_takes_the_call_out_and_another_one_keeps_it(name: str) -> None:
    async def story(fakes: FakeRegion) -> None:
        await fakes.call("a")
        fakes.livekit.join("a", "bob")
        fakes.livekit.leave("a", "bob")
        assert await send(fakes, event(name, caller=True)) == 200
        assert "a" in fakes.store.redis.callers
        fakes.livekit.leave("a")
        assert await send(fakes, event(name, caller=True)) == 200
        assert fakes.store.redis.callers == {}

    with_region(story)


def test_an_agent_that_joined_has_the_reports_read_anew() -> None:
    async def story(fakes: FakeRegion) -> None:
        assert await send(fakes, event("participant_joined", agent=True)) == 200
        assert fakes.region.reports.old

    with_region(story)


def test_a_finished_room_is_cleared_and_given_back_to_its_key() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.join("a", key="front")
        await send(fakes, JOINED)
        fakes.store.redis.conversations["a"] = sid = fakes.livekit.close_room("a")
        assert await send(fakes, event("room_finished", sid=sid)) == 200
        redis = fakes.store.redis
        assert (redis.callers, redis.records, redis.conversations) == ({}, {}, {})
        assert fakes.limiter.calls == {"front": set()}

    with_region(story)


def test_a_late_end_of_a_room_whose_name_is_in_use_again_ends_the_old_conversation_only() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.join("a")
        fakes.store.redis.conversations["a"] = old = fakes.livekit.close_room("a")
        await fakes.call("a")
        await fakes.store.save_record(CallRecord("a", "eu", key="front"))
        assert await send(fakes, event("room_finished", sid=old)) == 200
        redis = fakes.store.redis
        assert ("a" in redis.callers, "a" in redis.records, redis.conversations) == (True, True, {})
        assert counted(fakes, "late") == 1

    with_region(story)


def test_a_limit_that_cannot_be_given_back_does_not_fail_the_webhook() -> None:
    async def story(fakes: FakeRegion) -> None:
        await fakes.store.save_record(CallRecord("a", "eu", key="front"))
        fakes.limiter.error = ConnectionError()
        assert await send(fakes, event("room_finished")) == 200

    with_region(story)


@pytest.mark.parametrize("who", ["livekit", "redis"])
def test_livekit_is_asked_to_come_again_while_the_state_is_not_reachable(who: str) -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.join("a")
        fakes.livekit.away, fakes.store.redis.away = who == "livekit", who == "redis"
        assert await send(fakes, JOINED) == 503
        assert "webhooks" in fakes.region.reads.troubles
        fakes.livekit.away = fakes.store.redis.away = False
        assert await send(fakes, JOINED) == 200
        assert (list(fakes.store.redis.callers), fakes.region.reads.troubles) == (["a"], {})

    with_region(story)


@pytest.mark.parametrize(
    ("path", "signature", "status", "result"),
    [
        ("/webhooks/livekit/eu", "", 401, "unsigned"),
        ("/webhooks/livekit/eu", "zz", 401, "bad_signature"),
        ("/webhooks/livekit/eu", sign(b"another text"), 401, "bad_signature"),
        ("/webhooks/livekit/mars", sign(JOINED), 404, "unknown_region"),
        ("/webhooks/livekit", sign(JOINED), 401, "bad_signature"),
    ],
)
def test_what_the_regions_livekit_did_not_sign_changes_nothing(
    path: str, signature: str, status: int, result: str
) -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.join("a")
        assert await send(fakes, JOINED, path=path, signature=signature) == status
        assert (fakes.store.redis.callers, counted(fakes, result)) == ({}, 1)

    with_region(story)


def test_what_is_signed_and_no_event_is_malformed_and_what_is_too_long_is_not_read() -> None:
    async def story(fakes: FakeRegion) -> None:
        assert await send(fakes, b"[]") == 400
        assert await send(fakes, b" " * (MAX_EVENT_BYTES + 1)) == 413
        assert counted(fakes, "malformed") == 2

    with_region(story)


def test_a_body_that_is_not_signed_is_not_waited_for_and_one_that_is_may_be_on_the_way_once() -> None:
    async def story(fakes: FakeRegion) -> None:
        assert await send(fakes, b"", signature="zz", ended=False) == 401
        app, headers = app_of(fakes), {"Authorization": sign(JOINED)}

        async def post(*, ended: bool) -> int:
            path = "/webhooks/livekit/eu"
            return (await request(app, "POST", path, JOINED, headers=headers, ended=ended)).status

        slow = asyncio.ensure_future(post(ended=False))
        await fakes.clock.sleep(0.1)
        assert await post(ended=True) == 503
        assert await slow == 408
        assert await post(ended=True) == 200

    with_region(story)
