"""The controller against a real livekit-server and a real Redis; workers are reports written by the test."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis.asyncio
import yaml
from livekit import api, rtc

from voicefleet.contract import codec
from voicefleet.contract.calls import CallRecord, DispatchMetadata
from voicefleet.contract.claims import Claim
from voicefleet.contract.errors import ConfigError, UnreachableError
from voicefleet.contract.keys import Keys
from voicefleet.contract.reports import WorkerReport
from voicefleet.controller.adapters.livekit import LiveKit
from voicefleet.controller.app import run_controller
from voicefleet.controller.calls import CallBook
from voicefleet.controller.dispatch import Dispatcher
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.region import Region
from voicefleet.controller.settings import load_settings
from voicefleet.controller.workers import WorkerBook
from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.redis import Scripts, connect_redis
from voicefleet.runtime.tasks import end
from voicefleet.stack import servers
from voicefleet.stack.ports import Ports

pytestmark = pytest.mark.integration

KEYS = Keys("eu")
SECRETS = {"TEST_API_KEYS": "front:front-secret,other:other-secret"}
FRONT = {"Authorization": "Bearer front-secret"}


def region(livekit: servers.LiveKit, **more: Any) -> dict[str, Any]:
    pool = {"min_workers": 0, "max_workers": 2, "slots": 2, "buffer": 0, "hold_s": 0, **more.pop("pool", {})}
    at = {"url": livekit.url, "api_key": livekit.api_key, "api_secret_env": "TEST_SECRET"}
    return {"livekit": at, "pool": pool, **more}


@dataclass
class Running:
    url: str
    http: aiohttp.ClientSession
    redis: redis.asyncio.Redis
    api: api.LiveKitAPI

    async def get(self, path: str, **more: Any) -> Any:
        async with self.http.get(self.url + path, headers=FRONT, **more) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def post(self, body: Any, *, headers: dict[str, str] = FRONT) -> tuple[int, Any, Any]:
        async with self.http.post(f"{self.url}/v1/calls", json=body, headers=headers) as answer:
            return answer.status, await answer.json(), answer.headers

    async def ticket(self, **body: Any) -> dict[str, str]:
        status, answer, _ = await self.post(body)
        assert status == 201, answer
        return dict(answer)

    async def call(self, room: str) -> dict[str, Any] | None:
        async with self.http.get(f"{self.url}/v1/calls", headers=FRONT) as answer:
            if answer.status != 200:
                return None
            calls = (await answer.json())["calls"]
        return next((c for c in calls if c["room"] == room), None)

    async def dispatches(self, room: str) -> list[DispatchMetadata]:
        """The controller's own dispatches, not the one that came with the room."""
        found = [DispatchMetadata.decode(d.metadata) for d in await self.api.agent_dispatch.list_dispatch(room)]
        return [d for d in found if d.attempt]

    async def report(self, worker: str = "w1", *, live: int = 0, slots: int = 2, state: str = "ready") -> None:
        report = WorkerReport(worker, "eu", state, slots, live, 0, uptime_s=9.0)
        seconds, micros = await self.redis.time()
        await self.redis.zadd(KEYS.workers, {worker: seconds * 1000 + micros // 1000})
        await self.redis.set(KEYS.report(worker), codec.dump(report))
        await self.redis.publish(KEYS.events, worker)


@contextlib.asynccontextmanager
async def controller(
    tmp_path: Path, livekit: servers.LiveKit, redis_url: str, *, port: int = 0, **fields: Any
) -> AsyncIterator[Running]:
    """A controller of region eu; `fields` go into its settings file."""
    raw = {
        "redis_url_env": "TEST_REDIS",
        "listen": f"127.0.0.1:{port}",
        "api_keys_env": "TEST_API_KEYS",
        "regions": {"eu": region(livekit)},
        "tick_s": 0.2,
        "listing_s": 0.4,
        **fields,
    }
    path = tmp_path / "controller.yaml"
    path.write_text(yaml.safe_dump(raw))
    settings = load_settings(path, {**SECRETS, "TEST_REDIS": redis_url, "TEST_SECRET": livekit.api_secret})
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    run = asyncio.create_task(
        run_controller(settings, on_ready=ready.set_result, ready_file=tmp_path / "ready.json", stop=stop)
    )
    either: list[asyncio.Future[Any]] = [run, ready]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    try:
        if run.done():
            await run
        async with (
            aiohttp.ClientSession() as http,
            redis.asyncio.Redis.from_url(redis_url, decode_responses=True) as client,
            api.LiveKitAPI(livekit.http_url, livekit.api_key, livekit.api_secret) as lk,
        ):
            yield Running(await ready, http, client, lk)
    finally:
        stop.set()
        await asyncio.wait([run], timeout=30)
    await run


@contextlib.asynccontextmanager
async def caller(url: str, token: str) -> AsyncIterator[rtc.Room]:
    room = rtc.Room()
    await room.connect(url, token)
    try:
        yield room
    finally:
        await room.disconnect()


async def until(check: Callable[[], Any], limit_s: float = 10.0) -> float:
    """Wait until `await check()` is true; how long that took."""
    began = time.monotonic()
    while time.monotonic() - began < limit_s:
        if await check():
            return time.monotonic() - began
        await asyncio.sleep(0.02)
    pytest.fail(f"did not happen within {limit_s} s")


async def test_a_ticket_makes_a_room_with_a_dispatch(tmp_path: Path, livekit: servers.LiveKit, redis_url: str) -> None:
    async with controller(tmp_path, livekit, redis_url) as running:
        assert json.loads((tmp_path / "ready.json").read_text()) == {"url": running.url}
        ticket = await running.ticket(tier="fast", metadata="order 7", identity="ann")
        assert (ticket["region"], ticket["url"], ticket["identity"]) == ("eu", livekit.url, "ann")
        record = codec.load(CallRecord, await running.redis.get(KEYS.call(ticket["room"])) or "")
        assert (record.key, record.tier, record.metadata) == ("front", "fast", "order 7")
        async with caller(ticket["url"], ticket["token"]) as room:
            assert room.local_participant.identity == "ann"
            (dispatch,) = await running.api.agent_dispatch.list_dispatch(ticket["room"])
            assert dispatch.agent_name == "voicefleet"
            assert DispatchMetadata.decode(dispatch.metadata) == DispatchMetadata("fast", "order 7", 0)


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
            took_s = await until(lambda: _is(state, "waiting"))
            assert took_s < 2.0
            (view,) = (await running.get("/v1/regions"))["regions"]
            assert (view["status"], view["waiting"], view["live"]) == ("ok", 1, 0)
        await until(lambda: _is(state, None))
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
                began = time.monotonic()
                await until(lambda: _is(callers, 1))
                await until(lambda: _one(running.redis.zcard(KEYS.waiting)))
                assert time.monotonic() - began < 1.6
                # Two copies of one event, late: nothing changes.
                joined = await running.redis.zscore(KEYS.callers, ticket["room"])
                body = _event("participant_joined", ticket["room"])
                for _ in range(2):
                    assert await _send(running, hook, livekit, body) == 200
                assert await running.redis.zscore(KEYS.callers, ticket["room"]) == joined
                # A left event although the caller is there (reordered): the room itself is asked.
                assert await _send(running, hook, livekit, _event("participant_left", ticket["room"])) == 200
                assert await callers() == 1
            left_s = await until(lambda: _is(callers, 0))
            assert left_s < 1.0
            assert await running.redis.zcard(KEYS.waiting) == 0
            await running.api.room.delete_room(api.DeleteRoomRequest(room=ticket["room"]))
            await until(lambda: _none(running.redis.get(KEYS.call(ticket["room"]))))


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
        rooms = []
        for tier in ("first", "second"):
            ticket = await running.ticket(tier=tier, metadata=f"for {tier}")
            rooms.append(ticket["room"])
            await callers.enter_async_context(caller(ticket["url"], ticket["token"]))
            await until(lambda: _one(running.redis.zcard(KEYS.waiting)) if not rooms[1:] else _two(running))
        old, new = rooms
        await asyncio.sleep(0.6)
        assert await running.dispatches(old) == []  # no worker: a dispatch would be dropped
        await running.report(slots=1, live=1)
        await asyncio.sleep(0.6)
        assert await running.dispatches(old) == []  # no free slot either
        await running.report(slots=1, live=0)
        took_s = await until(lambda: running.dispatches(old))
        assert took_s < 0.5
        assert await running.dispatches(old) == [DispatchMetadata("first", "for first", 1)]
        assert await running.dispatches(new) == []
        # The worker takes the call: its claim ends the waiting, and the slot that frees next goes to the other one.
        claim = Claim(worker="w1", job="J1", epoch=1, state="live")
        await running.redis.set(KEYS.claim(old), codec.dump(claim), px=10_000)
        await running.report("w2", slots=1, live=0)
        await until(lambda: running.dispatches(new))
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
            await until(lambda: running.dispatches(ticket["room"]))

            async def second() -> bool:
                await running.report()
                return len(await running.dispatches(ticket["room"])) == 2

            assert 3.0 < await until(second, 6.0) < 5.0
            assert {d.attempt for d in await running.dispatches(ticket["room"])} == {1, 2}


async def test_redis_away_and_back(tmp_path: Path, livekit: servers.LiveKit) -> None:
    async with servers.redis_server() as redis_, controller(tmp_path, livekit, redis_.url) as running:
        ticket = await running.ticket()
        async with caller(ticket["url"], ticket["token"]) as room:
            await until(lambda: _is_waiting(running, ticket["room"]))
            await redis_.stop(kill=True)

            async def status() -> str:
                return str((await running.get("/v1/regions"))["regions"][0]["status"])

            await until(lambda: _is(status, "unknown"))
            (view,) = (await running.get("/v1/regions"))["regions"]
            assert view["waiting"] is None
            assert "Redis did not answer" in view["reason"]
            async with running.http.get(f"{running.url}/v1/calls", headers=FRONT) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
            # Calls are still handed out, and work.
            began = time.monotonic()
            other = await running.ticket()
            assert time.monotonic() - began < 2.0
            async with caller(other["url"], other["token"]):
                await redis_.start()  # empty: all that was known is lost
                await until(lambda: _is_waiting(running, ticket["room"]))
                await until(lambda: _is_waiting(running, other["room"]))
                await until(lambda: _is(status, "ok"))
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
            await asyncio.wait_for(ended.wait(), 6)
            assert 1.0 < time.monotonic() - began < 3.5


async def test_refused_requests(tmp_path: Path, livekit: servers.LiveKit, redis_url: str) -> None:
    async with controller(tmp_path, livekit, redis_url) as running:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic front-secret"}):
            status, answer, _ = await running.post({}, headers=headers)
            assert (status, answer["field"]) == (401, "Authorization")
        status, answer, _ = await running.post({"teir": "fast"})
        assert (status, answer["field"]) == (400, "teir")
        status, answer, _ = await running.post({"tier": "Not A Tier"})
        assert (status, answer["field"]) == (400, "tier")
        status, answer, _ = await running.post({"region": "mars"})
        assert (status, answer["field"], answer["way_out"]) == (400, "region", "Known: eu.")
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
    async with controller(tmp_path, livekit, redis_url, limits=limits) as running:
        seconds, _ = await running.redis.time()
        if seconds % 60 > 55:
            await asyncio.sleep(61 - seconds % 60)  # one window for the whole test
        for _ in range(2):
            await running.ticket()
        status, answer, headers = await running.post({})
        assert (status, answer["error"]) == (429, "more than 2 calls at once")
        assert int(headers["Retry-After"]) >= 1
        other = {"Authorization": "Bearer other-secret"}
        assert (await running.post({}, headers=other))[0] == 201
        for _ in range(3):
            await running.post({"teir": ""})
        status, answer, headers = await running.post({})
        assert (status, answer["error"]) == (429, "more than 6 requests for calls a minute")
        assert 1 <= int(headers["Retry-After"]) <= 60
        assert (await running.post({}, headers=other))[0] == 201


async def test_a_full_fleet_says_so(tmp_path: Path, livekit: servers.LiveKit, redis_url: str) -> None:
    regions = {"eu": region(livekit, pool={"max_workers": 1, "slots": 1})}
    async with controller(tmp_path, livekit, redis_url, regions=regions) as running:
        ticket = await running.ticket()
        async with caller(ticket["url"], ticket["token"]):
            await until(lambda: _is_waiting(running, ticket["room"]))
            status, answer, headers = await running.post({})
            assert status == 503
            assert headers["Retry-After"] == "5"
            assert "raise max_workers" in answer["way_out"]


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
            await until(lambda: _statuses(running, {"eu": "ok", "us": "unknown"}))
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
            # An agent is ordered for it later: from then on it is a call.
            request = api.CreateAgentDispatchRequest(agent_name="voicefleet", room="a-meeting")
            await running.api.agent_dispatch.create_dispatch(request)
            await until(lambda: _one(running.redis.zcard(KEYS.callers)), 12)


class SteppedClock(SystemClock):
    """The machine's clock, moved on by hand."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


async def test_a_dead_agent_is_removed_before_the_call_is_served_again(
    tmp_path: Path, livekit: servers.LiveKit, redis_url: str
) -> None:
    async with redis.asyncio.Redis.from_url(redis_url, decode_responses=True) as client:
        raw = {"redis_url_env": "R", "auth": "none", "regions": {"eu": region(livekit, rooms="all")}}
        (tmp_path / "c.yaml").write_text(yaml.safe_dump(raw))
        settings = load_settings(tmp_path / "c.yaml", {"R": redis_url, "TEST_SECRET": livekit.api_secret})
        clock = SteppedClock()
        made = Region(
            settings.regions["eu"],
            LiveKit(settings.regions["eu"].livekit, "voicefleet"),
            CallBook(client, Scripts(client), "eu", grace_ms=0),
            WorkerBook(client, "eu"),
            None,
            clock,
            Metrics(),
        )
        dispatcher = Dispatcher(made)

        def token(identity: str, kind: Any) -> str:
            grants = api.VideoGrants(room_join=True, room="held")
            made = api.AccessToken(livekit.api_key, livekit.api_secret).with_identity(identity).with_grants(grants)
            return made.with_kind(kind).to_jwt()

        async with (
            api.LiveKitAPI(livekit.http_url, livekit.api_key, livekit.api_secret) as lk,
            aiohttp.ClientSession() as http,
            caller(livekit.url, token("ann", "standard")),
            caller(livekit.url, token("agent-1", "agent")),
        ):
            running = Running("", http, client, lk)

            async def look(*, rooms: list[str]) -> list[str]:
                report = WorkerReport("w1", "eu", "ready", 2, 0, 0, uptime_s=9.0, rooms=rooms)
                await running.report()
                await client.set(KEYS.report("w1"), codec.dump(report))
                await client.delete(KEYS.inflight)
                await dispatcher.once()
                return sorted(p.identity for p in await made.livekit.list_participants("held"))

            await made.calls.joined("held")
            assert await look(rooms=[]) == ["agent-1", "ann"]
            clock.ahead_s = 6.0
            assert await look(rooms=[]) == ["agent-1", "ann"]
            clock.ahead_s = 12.0
            assert await look(rooms=["held"]) == ["agent-1", "ann"]  # a worker says that it has the call
            assert await running.dispatches("held") == []
            assert await look(rooms=[]) == ["ann"]
            assert [d.attempt for d in await running.dispatches("held")] == [1]
        await made.livekit.close()


async def test_tasks_end_although_the_redis_client_forgets_a_cancellation(redis_url: str) -> None:
    client = connect_redis(redis_url)

    async def for_ever() -> None:
        while True:
            await client.ping()

    await client.ping()
    for pause_ms in range(0, 60, 3):
        task = asyncio.create_task(for_ever())
        await asyncio.sleep(pause_ms / 20_000)
        await asyncio.wait_for(end([task]), 5)
        assert task.cancelled()
    await client.aclose()
