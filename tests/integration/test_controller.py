"""The controller against a real livekit-server and a real Redis; workers are reports written by the test."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from livekit import api, rtc

from support.controlling import FRONT, FRONT_SECRET, KEYS, OTHER, Running, caller, controller, region
from support.eventually import eventually
from voicefleet.contract import codec
from voicefleet.contract.calls import CallOrder, CallRecord, DispatchMetadata
from voicefleet.contract.claims import Claim
from voicefleet.contract.errors import ConfigError, UnreachableError
from voicefleet.runtime.redis.connection import connect_redis
from voicefleet.runtime.supervisor.ports import Ports
from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.stack import servers

pytestmark = pytest.mark.integration


async def test_a_ticket_makes_a_room_with_a_dispatch(tmp_path: Path, livekit: servers.LiveKit, redis_url: str) -> None:
    async with controller(tmp_path, livekit, redis_url) as running:
        assert json.loads((tmp_path / "ready.json").read_text()) == {"url": running.url}
        ticket = await running.ticket(tier="fast", metadata="order 7", identity="ann")
        assert (ticket["region"], ticket["url"], ticket["identity"]) == ("eu", livekit.url, "ann")
        record = codec.load(CallRecord, await running.redis.get(KEYS.call(ticket["room"])) or "")
        assert (record.key, record.order.tier, record.order.metadata) == ("front", "fast", "order 7")
        assert record.order.traceparent.startswith("00-"), "every call has a trace id"
        async with caller(ticket["url"], ticket["token"]) as room:
            assert room.local_participant.identity == "ann"
            (dispatch,) = await running.api.agent_dispatch.list_dispatch(ticket["room"])
            assert dispatch.agent_name == "voicefleet"
            assert DispatchMetadata.decode(dispatch.metadata) == DispatchMetadata(record.order, 0, caller="ann")


async def test_by_listing_alone_a_caller_waits_and_leaves(
    tmp_path: Path, livekit: servers.LiveKit, redis_url: str
) -> None:
    async with controller(tmp_path, livekit, redis_url) as running:
        ticket = await running.ticket()
        name = ticket["room"]

        async def state() -> str | None:
            call = await running.call(name)
            return call["state"] if call else None

        async with caller(ticket["url"], ticket["token"]):
            await eventually(lambda: _is(state, "waiting"))
            (view,) = (await running.get("/v1/regions"))["regions"]
            assert (view["waiting"], view["live"]) == (1, 0)
            assert "callers_wait" in [finding["id"] for finding in view["findings"]]
        await eventually(lambda: _is(state, None))
        assert await running.redis.zcard(KEYS.waiting) == 0


async def _is(read: Callable[[], Any], value: Any) -> bool:
    return bool(await read() == value)


async def test_webhooks_are_the_fast_path(tmp_path: Path, redis_url: str) -> None:
    with Ports() as ports:
        port = ports.tcp()
        hook = f"http://127.0.0.1:{port}/webhooks/livekit"
        async with (
            servers.livekit_server("eu", webhook_urls=[hook]) as livekit,
            controller(tmp_path, livekit, redis_url, port=port, listing_s=60) as running,
        ):
            ticket = await running.ticket()

            async def callers() -> int:
                return int(await running.redis.zcard(KEYS.callers))

            async with caller(ticket["url"], ticket["token"]):
                # By webhook: the next listing is a minute away.
                await eventually(lambda: _is(callers, 1))
                await eventually(lambda: _one(running.redis.zcard(KEYS.waiting)))
                # Two copies of one event, late: nothing changes.
                joined = await running.redis.zscore(KEYS.callers, ticket["room"])
                body = _event("participant_joined", ticket["room"])
                for _ in range(2):
                    assert await _send(running, hook, livekit, body) == 200
                assert await running.redis.zscore(KEYS.callers, ticket["room"]) == joined
                # A left event although the caller is there (reordered): the room itself is asked.
                assert await _send(running, hook, livekit, _event("participant_left", ticket["room"])) == 200
                assert await callers() == 1
                # The end of an older room of the same name, late: the call there now is another one.
                await running.redis.set(KEYS.transcript(ticket["room"]), "what was said")
                for of, left in ("RM_another", "what was said"), ("RM_x", None):
                    await running.redis.set(KEYS.transcript_of(ticket["room"]), of)
                    assert await _send(running, hook, livekit, _event("room_finished", ticket["room"])) == 200
                    assert await callers() == 1
                    assert await running.redis.get(KEYS.call(ticket["room"])) is not None
                    assert await running.redis.get(KEYS.transcript(ticket["room"])) == left
            await eventually(lambda: _is(callers, 0))
            assert await running.redis.zcard(KEYS.waiting) == 0
            # The caller joined, late: nobody is there any more.
            assert await _send(running, hook, livekit, _event("participant_joined", ticket["room"])) == 200
            assert await callers() == 0
            await running.api.room.delete_room(api.DeleteRoomRequest(room=ticket["room"]))
            await eventually(lambda: _none(running.redis.get(KEYS.call(ticket["room"]))))


async def _one(read: Any) -> bool:
    return bool(await read == 1)


async def _none(read: Any) -> bool:
    return await read is None


def _event(event: str, room: str, kind: str = "STANDARD") -> bytes:
    return json.dumps(
        {"event": event, "room": {"name": room, "sid": "RM_x"}, "participant": {"identity": "ann", "kind": kind}}
    ).encode()


async def _send(
    running: Running, url: str, livekit: servers.LiveKit, body: bytes, *, secret: str = "", signed: bytes | None = None
) -> int:
    digest = base64.b64encode(hashlib.sha256(body if signed is None else signed).digest()).decode()
    token = api.AccessToken(livekit.api_key, secret or livekit.api_secret).with_sha256(digest).to_jwt()
    async with running.http.post(url, data=body, headers={"Authorization": token}) as answer:
        return answer.status


async def test_webhook_signatures(tmp_path: Path, livekit: servers.LiveKit, redis_url: str) -> None:
    async with controller(tmp_path, livekit, redis_url, listing_s=60) as running:
        plain, ours = f"{running.url}/webhooks/livekit", f"{running.url}/webhooks/livekit/eu"
        body = _event("participant_joined", "some-room")
        async with running.http.post(plain, data=body) as answer:
            assert answer.status == 401
        async with running.http.post(ours, data=body, headers={"Authorization": "no.token.this"}) as answer:
            assert answer.status == 401
        assert await _send(running, plain, livekit, body, secret="x" * 40) == 401
        assert await _send(running, ours, livekit, body, signed=b"another text") == 401
        assert await _send(running, f"{running.url}/webhooks/livekit/us", livekit, body) == 404
        assert await running.redis.zcard(KEYS.callers) == 0
        assert await _send(running, ours, livekit, b"{not json") == 400
        assert await _send(running, ours, livekit, b"\xff") == 400
        assert await _send(running, ours, livekit, _event("track_published", "some-room")) == 200
        assert await _send(running, ours, livekit, _event("participant_joined", "some-room", "AGENT")) == 200
        assert await running.redis.zcard(KEYS.callers) == 0
        assert await _send(running, plain, livekit, body) == 200  # late: there is no such room any more
        assert await running.redis.zcard(KEYS.callers) == 0
        ticket = await running.ticket()
        async with caller(ticket["url"], ticket["token"]):
            for url, kind in {plain: "STANDARD", ours: "SIP"}.items():
                assert await _send(running, url, livekit, _event("participant_joined", ticket["room"], kind)) == 200
            assert await running.redis.zrange(KEYS.callers, 0, -1) == [ticket["room"]]
        async with running.http.get(f"{running.url}/metrics") as answer:
            text = await answer.text()
        for result, count in {"unsigned": 1, "bad_signature": 3, "malformed": 2, "ignored": 2, "ok": 3}.items():
            assert f'voicefleet_webhooks_total{{result="{result}"}} {count}.0' in text, text


async def test_free_slots_get_the_oldest_waiting_call_first(
    tmp_path: Path, livekit: servers.LiveKit, redis_url: str
) -> None:
    async with controller(tmp_path, livekit, redis_url) as running, contextlib.AsyncExitStack() as callers:
        rooms, identities = [], []
        for tier in ("first", "second"):
            ticket = await running.ticket(tier=tier, metadata=f"for {tier}")
            rooms.append(ticket["room"])
            identities.append(ticket["identity"])
            await callers.enter_async_context(caller(ticket["url"], ticket["token"]))
            await eventually(lambda: _one(running.redis.zcard(KEYS.waiting)) if not rooms[1:] else _two(running))
        old, new = rooms
        await asyncio.sleep(0.6)
        assert await running.dispatches(old) == []  # no worker: a dispatch would be dropped
        await running.report(slots=1, live=1)
        await asyncio.sleep(0.6)
        assert await running.dispatches(old) == []  # no free slot either
        await running.report(slots=1, live=0)
        await eventually(lambda: running.dispatches(old))
        (sent,) = await running.dispatches(old)
        order = CallOrder("first", "for first", traceparent=sent.order.traceparent)
        assert sent == DispatchMetadata(order, 1, caller=identities[0])
        assert await running.dispatches(new) == []
        # The worker takes the call: its claim ends the waiting, and the slot that frees next goes to the other one.
        claim = Claim(worker="w1", job="J1", epoch=1, state="live")
        await running.redis.set(KEYS.claim(old), codec.dump(claim), px=10_000)
        await running.report("w2", slots=1, live=0)
        await eventually(lambda: running.dispatches(new))
        assert len(await running.dispatches(old)) == 1
        call = await running.call(old)
        assert call is not None
        assert (call["state"], call["worker"]) == ("live", "w1")
        async with running.http.get(f"{running.url}/metrics") as answer:
            text = await answer.text()
        assert 'voicefleet_call_wait_seconds_count{region="eu"} 1.0' in text
        assert 'voicefleet_dispatches_total{region="eu",result="sent"} 2.0' in text


async def _two(running: Running) -> bool:
    return bool(await running.redis.zcard(KEYS.waiting) == 2)


async def test_a_lost_dispatch_is_made_again(tmp_path: Path, livekit: servers.LiveKit, redis_url: str) -> None:
    async with controller(tmp_path, livekit, redis_url) as running:
        ticket = await running.ticket()
        async with caller(ticket["url"], ticket["token"]):
            await running.report()
            await eventually(lambda: running.dispatches(ticket["room"]))

            async def second() -> bool:
                await running.report()
                return len(await running.dispatches(ticket["room"])) == 2

            await eventually(second)
            assert {d.attempt for d in await running.dispatches(ticket["room"])} == {1, 2}


async def test_redis_away_and_back(tmp_path: Path, livekit: servers.LiveKit) -> None:
    async with servers.redis_server() as redis_, controller(tmp_path, livekit, redis_.url) as running:
        ticket = await running.ticket()
        async with caller(ticket["url"], ticket["token"]) as room:
            await eventually(lambda: _is_waiting(running, ticket["room"]))
            await redis_.stop(kill=True)

            async def status() -> str:
                return str((await running.get("/v1/regions"))["regions"][0]["status"])

            async def unknown() -> bool:
                (view,) = (await running.get("/v1/regions"))["regions"]
                return bool(view["status"] == "unknown" and view["waiting"] is None)

            await eventually(unknown)
            (view,) = (await running.get("/v1/regions"))["regions"]
            assert "Redis did not answer" in view["reason"]
            async with running.http.get(f"{running.url}/v1/calls", headers=FRONT) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
            # Calls are still handed out, and work.
            other = await running.ticket()
            async with caller(other["url"], other["token"]):
                await redis_.start()  # empty: all that was known is lost
                await eventually(lambda: _is_waiting(running, ticket["room"]))
                await eventually(lambda: _is_waiting(running, other["room"]))
                await eventually(lambda: _is(status, "failing"))  # two callers, and no worker
                (view,) = (await running.get("/v1/regions"))["regions"]
                assert {finding["id"] for finding in view["findings"]} == {"callers_wait", "no_ready_workers"}
                assert room.connection_state == rtc.ConnectionState.CONN_CONNECTED


async def _is_waiting(running: Running, room: str) -> bool:
    call = await running.call(room)
    return call is not None and call["state"] == "waiting"


async def test_a_call_ends_at_its_longest_duration(tmp_path: Path, livekit: servers.LiveKit, redis_url: str) -> None:
    limits = {"max_call_duration_s": 1.5}
    async with controller(tmp_path, livekit, redis_url, limits=limits) as running:
        ticket = await running.ticket()
        async with caller(ticket["url"], ticket["token"]) as room:
            ended = asyncio.Event()
            room.on("disconnected", lambda *_: ended.set())
            began = time.monotonic()
            await asyncio.wait_for(ended.wait(), 25)
            assert time.monotonic() - began > 1.0, "not before its time"


async def test_refused_requests(tmp_path: Path, livekit: servers.LiveKit, redis_url: str) -> None:
    async with controller(tmp_path, livekit, redis_url) as running:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {FRONT_SECRET}"}):
            status, answer, _ = await running.post({}, headers=headers)
            assert (status, answer["field"]) == (401, "Authorization")
        status, answer, _ = await running.post({"teir": "fast"})
        assert (status, answer["field"]) == (400, "teir")
        status, answer, _ = await running.post({"tier": "Not A Tier"})
        assert (status, answer["field"]) == (400, "tier")
        status, answer, _ = await running.post({"region": "mars"})
        assert (status, answer["field"], answer["hint"]) == (400, "region", "Known: eu.")
        async with running.http.post(f"{running.url}/v1/calls", data=b"\xff{", headers=FRONT) as raw:
            assert raw.status == 400
        async with running.http.get(f"{running.url}/v1/nothing", headers=FRONT) as raw:
            assert raw.status == 404
            assert (await raw.json())["error"] == "not found"
        async with running.http.get(f"{running.url}/v1/decisions?limit=0", headers=FRONT) as raw:
            assert raw.status == 400
        for path in ("/healthz", "/livez", "/readyz", "/metrics"):
            async with running.http.get(running.url + path) as raw:
                assert raw.status == 200
        (first, *_) = (await running.get("/v1/decisions?limit=5"))["decisions"]
        assert (first["region"], first["desired"]) == ("eu", 0)


async def test_limits_of_a_key(tmp_path: Path, livekit: servers.LiveKit, redis_url: str) -> None:
    limits = {"requests_per_minute": 6, "concurrent_calls": 2}
    regions = {"eu": region(livekit, pool={"max_workers": 4})}
    async with controller(tmp_path, livekit, redis_url, limits=limits, regions=regions) as running:
        seconds, _ = await running.redis.time()
        if seconds % 60 > 55:
            await asyncio.sleep(61 - seconds % 60)  # one window for the whole test
        for _ in range(2):
            await running.ticket()
        status, answer, headers = await running.post({})
        assert (status, answer["error"]) == (429, "more than 2 calls at once")
        assert int(headers["Retry-After"]) >= 1
        assert (await running.post({}, headers=OTHER))[0] == 201
        for _ in range(3):
            await running.post({"teir": ""})
        status, answer, headers = await running.post({})
        assert (status, answer["error"]) == (429, "more than 6 requests for calls a minute")
        assert 1 <= int(headers["Retry-After"]) <= 60
        assert (await running.post({}, headers=OTHER))[0] == 201


async def test_a_full_fleet_says_so(tmp_path: Path, livekit: servers.LiveKit, redis_url: str) -> None:
    regions = {"eu": region(livekit, pool={"max_workers": 1, "slots": 1})}
    async with controller(tmp_path, livekit, redis_url, regions=regions) as running:
        ticket = await running.ticket()
        async with caller(ticket["url"], ticket["token"]):
            await eventually(lambda: _is_waiting(running, ticket["room"]))
            status, answer, headers = await running.post({})
            assert status == 503
            assert headers["Retry-After"] == "5"
            assert "raise max_workers" in answer["hint"]


async def test_preflight(tmp_path: Path, livekit: servers.LiveKit, redis_url: str) -> None:
    wrong_key = region(livekit)
    wrong_key["livekit"]["api_key"] = "other"
    with pytest.raises(UnreachableError, match=r"regions\.eu\.livekit\.api_key = 'other': LiveKit refuses our cred"):
        async with controller(tmp_path, livekit, redis_url, regions={"eu": wrong_key}):
            pass
    with Ports() as ports:
        nobody = region(livekit)
        nobody["livekit"]["url"] = f"ws://127.0.0.1:{ports.tcp()}"
        with pytest.raises(UnreachableError, match=r"regions\.eu\.livekit\.api_url = .*LiveKit does not answer"):
            async with controller(tmp_path, livekit, redis_url, regions={"eu": nobody}):
                pass
        # One region of two away: the other one works.
        async with controller(tmp_path, livekit, redis_url, regions={"eu": region(livekit), "us": nobody}) as running:
            # eu has no worker yet. Of us that says nothing: workers register with its LiveKit.
            await eventually(lambda: _statuses(running, {"eu": "failing", "us": "unknown"}))
            assert (await running.ticket())["region"] == "eu"
            port = int(running.url.rpartition(":")[2])
            with pytest.raises(UnreachableError, match="the port is taken"):
                async with controller(tmp_path, livekit, redis_url, port=port):
                    pass
        with pytest.raises(UnreachableError, match="redis_url_env"):
            async with controller(tmp_path, livekit, f"redis://127.0.0.1:{ports.tcp()}"):
                pass
    missing = region(livekit, process={"command": ["/no/such"], "state_dir": str(tmp_path), "log_dir": str(tmp_path)})
    with pytest.raises(ConfigError, match=r"regions\.eu\.process\.command"):
        async with controller(tmp_path, livekit, redis_url, regions={"eu": missing}):
            pass


async def _statuses(running: Running, wanted: dict[str, str]) -> bool:
    views = (await running.get("/v1/regions"))["regions"]
    return {v["region"]: v["status"] for v in views} == wanted


async def test_rooms_of_others_on_the_same_server_are_left_alone(
    tmp_path: Path, livekit: servers.LiveKit, redis_url: str
) -> None:
    limits = {"max_call_duration_s": 1}
    async with controller(tmp_path, livekit, redis_url, limits=limits) as running:
        await running.report()
        grants = api.VideoGrants(room_join=True, room="a-meeting")
        token = api.AccessToken(livekit.api_key, livekit.api_secret).with_identity("bob").with_grants(grants).to_jwt()
        async with caller(livekit.url, token) as room:
            await asyncio.sleep(2.5)
            assert await running.redis.zcard(KEYS.callers) == 0
            assert [d.agent_name for d in await running.api.agent_dispatch.list_dispatch("a-meeting")] in ([], [""])
            assert room.connection_state == rtc.ConnectionState.CONN_CONNECTED
            # An agent is ordered for it later: from then on it is a call, and ended at its longest duration. This is
            # waited for because it lasts: the call is in Redis for 0.4 s only, until the next listing.
            request = api.CreateAgentDispatchRequest(agent_name="voicefleet", room="a-meeting")
            await running.api.agent_dispatch.create_dispatch(request)
            await eventually(lambda: _disconnected(room), 60)


async def _disconnected(room: rtc.Room) -> bool:
    return room.connection_state == rtc.ConnectionState.CONN_DISCONNECTED


async def test_tasks_end_although_the_redis_client_forgets_a_cancellation(redis_url: str) -> None:
    client = connect_redis(redis_url)

    async def for_ever() -> None:
        while True:
            await client.ping()

    await client.ping()
    for pause_ms in range(0, 60, 3):
        task = asyncio.create_task(for_ever())
        await asyncio.sleep(pause_ms / 20_000)
        await asyncio.wait_for(cancel_and_wait([task]), 5)
        assert task.cancelled()
    await client.aclose()
