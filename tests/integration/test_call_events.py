"""Call events over a real Redis and real HTTP: each once by its id, in order, whatever is killed, away or failing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from livekit import api

from support.controlling import FRONT, OTHER, caller, controller, region
from support.dummy_fleet import RUN
from support.event_receiver import SECRET, Receiver, event_receiver
from support.eventually import eventually, happens
from voicefleet.contract.keys import Keys
from voicefleet.controller.calls.call_store import CallStore
from voicefleet.runtime.redis.connection import RedisClient, Scripts
from voicefleet.runtime.supervisor.children import Child, running
from voicefleet.runtime.supervisor.ports import Ports
from voicefleet.stack import servers
from voicefleet.stack.servers import livekit_server

pytestmark = pytest.mark.integration

KEYS = Keys("eu")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with event_receiver() as made:
        yield made


class Workers:
    """Calls as webhooks, workers and recoveries of other replicas make them: by the same scripts."""

    def __init__(self, redis: RedisClient) -> None:
        self.store = CallStore(redis, Scripts(redis), "eu", grace_ms=0)

    async def serve(self, room: str, worker: str) -> int:
        job = f"{worker}-{room}"
        await self.store.claims.accept(room, f"RM_{room}", worker=worker, job=job)
        renewed = await self.store.claims.renew(room, f"RM_{room}", worker=worker, job=job, epoch=0)
        assert renewed
        return renewed.epoch

    async def whole_call(self, room: str, pause_s: float) -> list[str]:
        """A call that loses its agent once; the ids of the events that there must be. LiveKit knows nothing of its
        room, so there is no caller in it."""
        await asyncio.sleep(pause_s)
        first = await self.serve(room, "w1")
        await asyncio.sleep(pause_s)
        claim = await self.store.claim(room)
        assert claim is not None
        assert await self.store.claims.recover(room, claim)
        second = await self.serve(room, "w2")
        await asyncio.sleep(pause_s)
        await self.store.claims.release(room, job=f"w2-{room}")
        await self.store.room_finished(room, f"RM_{room}")
        names = ("started", f"answered.{first}", f"recovered.{second}", "ended")
        return [f"RM_{room}.{name}" for name in names]


def started(directory: Path, livekit: servers.LiveKit, redis_url: str, receiver: Receiver, name: str) -> Child:
    """A controller in a process of its own."""
    raw = {
        "redis_url_env": "TEST_REDIS",
        "listen": "127.0.0.1:0",
        "auth": "none",
        "regions": {"eu": region(livekit)},
        "call_events": {"billing": {"url": receiver.url, "secret_env": "TEST_HOOKS", "timeout_s": 1}},
    }
    path, ready = directory / "controller.yaml", directory / f"{name}.json"
    path.write_text(yaml.safe_dump(raw))
    ready.unlink(missing_ok=True)
    return Child(
        name,
        [sys.executable, "-c", RUN, path, ready],
        log_path=directory / f"{name}.log",
        stop_plan=((signal.SIGTERM, 30.0),),
        env={"TEST_REDIS": redis_url, "TEST_SECRET": livekit.api_secret, "TEST_HOOKS": SECRET},
    )


async def test_each_event_of_twenty_calls_comes_once_whatever_is_killed(
    livekit: servers.LiveKit, redis: RedisClient, redis_url: str, receiver: Receiver, tmp_path: Path
) -> None:
    """Controllers are killed with kill -9 in the middle of it, three times, and the receiver refuses every fifth try.
    Once by its id: what was under way at a kill may come twice, and a receiver drops it."""
    receiver.answer = lambda _: 500 if receiver.tries % 5 == 0 else 204
    await redis.set(KEYS.call_events_wanted, "1")
    workers = Workers(redis)
    async with contextlib.AsyncExitStack() as stack:
        calls = asyncio.gather(*(workers.whole_call(f"c{number}", 0.3 * number) for number in range(20)))
        stack.callback(calls.cancel)
        for number in range(3):
            child = await stack.enter_async_context(
                running(started(tmp_path, livekit, redis_url, receiver, f"controller{number}"))
            )
            before = len(receiver.got)
            await eventually(lambda before=before: len(receiver.got) >= before + 8)  # type: ignore[misc]
            child.kill()
            await child.wait()
        await stack.enter_async_context(running(started(tmp_path, livekit, redis_url, receiver, "last")))
        expected = await calls
        wanted = {id for ids in expected for id in ids}
        await eventually(lambda: receiver.ids >= wanted, 60.0, what="every event")
        assert receiver.ids == wanted
        assert sorted(receiver.of_calls().values()) == sorted(expected)
        assert receiver.unsigned == []
        assert len(receiver.got) - len(wanted) <= 3 * 8, "repeats: no more than what was under way at a kill"
        ended = [body["data"] for id, body in receiver.got if id.endswith(".ended")]
        assert all([part["how"] for part in data["agents"]] == ["answered", "recovered"] for data in ended)
        await eventually(lambda: empty(redis))
    logs = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert SECRET.removeprefix("whsec_") not in logs


async def empty(redis: RedisClient) -> bool:
    """Whether the receiver is known to have been told all."""
    newest: Any = await redis.xrevrange(KEYS.call_events, count=1)
    return bool(newest[0][0] == await redis.get(KEYS.call_events_told("billing")))


def hooks(receiver: Receiver, **more: Any) -> dict[str, Any]:
    return {"call_events": {"crm": {"url": receiver.url, "secret_file": more.pop("secret_file"), **more}}}


async def test_two_replicas_tell_each_event_once_and_a_receiver_that_hangs_costs_the_api_nothing(
    livekit: servers.LiveKit, redis: RedisClient, redis_url: str, receiver: Receiver, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    workers, events = Workers(redis), hooks(receiver, secret_file=str(secret), timeout_s=0.5)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with (
        controller(tmp_path / "a", livekit, redis_url, **events) as one,
        controller(tmp_path / "b", livekit, redis_url, **events) as other,
    ):
        await eventually(lambda: redis.exists(KEYS.call_events_wanted))
        wanted = await workers.whole_call("quiet", 0.0)
        await eventually(lambda: receiver.ids >= set(wanted))
        assert [id for id, _ in receiver.got] == wanted, "one replica tells, and in order"
        receiver.answer = lambda _: None
        wanted += [id for n in range(30) for id in await workers.whole_call(f"hang{n}", 0.0)]
        began_s = asyncio.get_running_loop().time()
        assert not await happens(lambda: len(receiver.ids) > 4, 2.0)
        for running_one in (one, other):
            for _ in range(20):
                await running_one.get("/v1/regions")
        assert asyncio.get_running_loop().time() - began_s < 5.0
        late = [await r.metric('voicefleet_call_events_waiting{receiver="crm",region="eu"}') for r in (one, other)]
        assert max(late) > 50
        receiver.answer = lambda _: 200
        await eventually(lambda: receiver.ids >= set(wanted), 60.0)
        assert len(receiver.got) == len(wanted), "an attempt that timed out was not taken"


async def test_a_redis_that_lost_its_data_costs_no_event_of_the_calls_after_it(
    livekit: servers.LiveKit, redis: RedisClient, redis_url: str, receiver: Receiver, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    async with controller(tmp_path, livekit, redis_url, **hooks(receiver, secret_file=str(secret))):
        await eventually(lambda: redis.exists(KEYS.call_events_wanted))
        await redis.flushdb()
        wanted = await Workers(redis).whole_call("after", 0.0)
        await eventually(lambda: receiver.ids >= set(wanted))


async def test_a_redirect_is_a_refusal_and_an_unwanted_event_is_not_sent(
    livekit: servers.LiveKit, redis: RedisClient, redis_url: str, receiver: Receiver, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    receiver.answer = lambda _: 307
    events = hooks(receiver, secret_file=str(secret), events=["call.ended"])
    async with controller(tmp_path, livekit, redis_url, **events) as fleet:
        await eventually(lambda: redis.exists(KEYS.call_events_wanted))
        await Workers(redis).whole_call("a", 0.0)
        await eventually(lambda: receiver.tries >= 2)
        refused = 'voicefleet_call_events_total{receiver="crm",region="eu",result="refused"}'
        assert await fleet.metric(refused) >= 1
        receiver.answer = lambda _: 200
        await eventually(lambda: receiver.got)
    assert [id for id, _ in receiver.got] == ["RM_a.ended"]


async def test_a_call_of_a_real_caller_from_ticket_to_end(
    livekit: servers.LiveKit, redis: RedisClient, redis_url: str, receiver: Receiver, tmp_path: Path
) -> None:
    """GET tells of it at each step, to its own key and to those who read; DELETE ends it; the events say why."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    keys = ",".join(
        (
            f"front:{FRONT['Authorization'].split()[1]}:call",
            f"other:{OTHER['Authorization'].split()[1]}:call",
            "reads:the-secret-of-reads:read",
        )
    )
    events = hooks(receiver, secret_file=str(secret))
    async with controller(tmp_path, livekit, redis_url, keys=keys, **events) as fleet:
        await eventually(lambda: redis.exists(KEYS.call_events_wanted))
        ticket = await fleet.ticket(tier="fast", language="de", metadata="Mr. Secret")
        path = f"/v1/calls/{ticket['room']}"

        async def seen(headers: dict[str, str] = FRONT) -> dict[str, Any]:
            async with fleet.http.get(fleet.url + path, headers=headers) as answer:
                return {"status": answer.status, **(await answer.json())}

        assert ((await seen())["state"], (await seen())["started_at"]) == ("ordered", None)
        async with caller(ticket["url"], ticket["token"]):
            await eventually(lambda: _is(seen, "waiting"))
            assert (await seen(OTHER))["status"] == 404, "another key's call"
            assert (await seen({"Authorization": "Bearer the-secret-of-reads"}))["key"] == "front"
            async with fleet.http.delete(fleet.url + path, headers=FRONT) as answer:
                assert answer.status == 204
        await eventually(lambda: _is(seen, "ended"))
        found = await seen()
        assert (found["reason"], found["tier"], found["language"]) == ("requested", "fast", "de")
        await eventually(lambda: any(id.endswith(".ended") for id, _ in receiver.got))
    assert [body["type"] for _, body in receiver.got] == ["call.started", "call.ended"]
    assert receiver.got[1][1]["data"]["reason"] == "requested"
    told = json.dumps([body for _, body in receiver.got])
    assert "Mr. Secret" not in told
    assert ticket["identity"] not in told


async def test_a_room_that_is_deleted_and_a_caller_who_hangs_up_end_a_call_for_different_reasons(
    redis: RedisClient, redis_url: str, tmp_path: Path
) -> None:
    """As LiveKit's own webhooks tell them."""
    with Ports() as ports:
        port = ports.tcp()
    async with (
        livekit_server("eu", webhook_urls=[f"http://127.0.0.1:{port}/webhooks/livekit/eu"]) as livekit,
        controller(tmp_path, livekit, redis_url, port=port, listing_s=30) as fleet,
    ):
        deleted, left = await fleet.ticket(), await fleet.ticket()

        async def seen(room: str) -> dict[str, Any]:
            return dict(await fleet.get(f"/v1/calls/{room}"))

        async with caller(left["url"], left["token"]), caller(deleted["url"], deleted["token"]):
            for ticket in (deleted, left):
                await eventually(lambda ticket=ticket: _is(lambda: seen(ticket["room"]), "waiting"))  # type: ignore[misc]
            await fleet.api.room.delete_room(api.DeleteRoomRequest(room=deleted["room"]))
            await eventually(lambda: _is(lambda: seen(deleted["room"]), "ended"))
        assert (await seen(deleted["room"]))["reason"] == "room_deleted"
        await eventually(lambda: _is(lambda: seen(left["room"]), "ended"), 40.0)
        assert (await seen(left["room"]))["reason"] == "abandoned"


async def _is(seen: Any, state: str) -> bool:
    return bool((await seen()).get("state") == state)
