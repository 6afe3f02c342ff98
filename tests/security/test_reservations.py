"""Tickets reserve slots, calls take them: what unused, replayed and forgotten tickets do to a fleet and its limits."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from livekit import api, rtc

from support.controlling import KEYS as EU
from support.controlling import Running, caller, controller, region
from support.eventually import eventually
from voicefleet.contract import codec
from voicefleet.contract.calls import CallRecord
from voicefleet.controller.http.auth.limits import PENDING_S
from voicefleet.runtime.supervisor.ports import Ports
from voicefleet.stack import servers

pytestmark = pytest.mark.integration

WEB, OTHER, SEES = (f"the-secret-of-{name}" for name in ("web", "other", "sees"))
KEYS = f"web:{WEB}:call,other:{OTHER}:call,sees:{SEES}:read"
SLOTS = 16


@pytest.fixture(autouse=True)
async def nobody_there(livekit: servers.LiveKit) -> None:
    """The session's LiveKit keeps the room of a caller of the test before for as long as that caller might be back, and
    it would count for its key here: keys have the same names in all of these."""
    async with api.LiveKitAPI(livekit.http_url, livekit.api_key, livekit.api_secret) as client:
        for room in (await client.room.list_rooms(api.ListRoomsRequest())).rooms:
            await client.room.delete_room(api.DeleteRoomRequest(room=room.name))

        async def empty() -> bool:
            return not (await client.room.list_rooms(api.ListRoomsRequest())).rooms

        await eventually(empty)


def as_key(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def ask(fleet: Running, secret: str, **body: Any) -> tuple[int, dict[str, str], Any]:
    return await fleet.post({"region": "eu", **body}, headers=as_key(secret))


def sixteen(livekit: servers.LiveKit) -> dict[str, Any]:
    return {"eu": region(livekit, pool={"max_workers": 4, "slots": 4})}


async def test_one_keys_unused_tickets_close_the_fleet_for_nobody_else(
    livekit: servers.LiveKit, redis_url: str, tmp_path: Path
) -> None:
    """16 idle slots; one key asks nine times a second and never joins; another one asks."""
    fields: dict[str, Any] = {"regions": sixteen(livekit), "limits": {"requests_per_minute": 10_000}}
    async with controller(tmp_path, livekit, redis_url, keys=KEYS, **fields) as fleet, fleet.worker("w-1", slots=SLOTS):
        greedy: list[int] = []
        honest: list[int] = []
        for turn in range(36):
            greedy.append((await ask(fleet, WEB))[0])
            if turn % 6 == 5:
                honest.append((await ask(fleet, OTHER))[0])
            await asyncio.sleep(1 / 9)
        assert honest == [201] * 6
        assert greedy[: SLOTS // 2] == [201] * (SLOTS // 2)
        assert set(greedy) == {201, 429}, "half of the free slots, and no 503: no call runs"
        status, answer, headers = await ask(fleet, WEB)
        if status == 429:
            assert "tickets that nobody joined with" in answer["error"]
            assert headers["Retry-After"] == "1"


async def test_a_key_cannot_gather_more_tickets_than_there_are_slots(
    livekit: servers.LiveKit, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ticket lets in for two minutes: without a bound, all could come at once."""
    monkeypatch.setattr("voicefleet.controller.regions.reservations.RESERVATION_S", 0.05)
    fields: dict[str, Any] = {"regions": sixteen(livekit), "limits": {"requests_per_minute": 10_000}}
    async with controller(tmp_path, livekit, redis_url, keys=KEYS, **fields) as fleet, fleet.worker("w-1", slots=SLOTS):
        given = 0
        for _ in range(3 * SLOTS):
            given += (await ask(fleet, WEB))[0] == 201
            await asyncio.sleep(0.06)
        assert given == SLOTS
        assert (await ask(fleet, OTHER))[0] == 201


async def test_an_honest_front_end_fills_the_whole_fleet_at_once_and_then_hears_that_it_is_full(
    livekit: servers.LiveKit, redis_url: str, tmp_path: Path
) -> None:
    fields: dict[str, Any] = {"regions": sixteen(livekit), "limits": {"requests_per_minute": 10_000}}
    async with (
        controller(tmp_path, livekit, redis_url, keys=KEYS, **fields) as fleet,
        fleet.worker("w-1", slots=SLOTS),
        contextlib.AsyncExitStack() as calls,
    ):

        async def place() -> int:
            refused = 0
            while True:
                status, answer, headers = await ask(fleet, WEB)
                if status == 201:
                    await calls.enter_async_context(caller(answer["url"], answer["token"]))
                    return refused
                assert status == 429, "there is room"
                refused += 1
                await asyncio.sleep(float(headers["Retry-After"]))

        async with asyncio.timeout(30):
            refusals = await asyncio.gather(*(place() for _ in range(SLOTS)))
        assert max(refusals) > 0

        async def full() -> bool:
            return (await ask(fleet, OTHER))[0] == 503

        await eventually(full)


async def test_with_one_key_that_calls_its_tickets_may_stand_for_every_slot(
    livekit: servers.LiveKit, redis_url: str, tmp_path: Path
) -> None:
    keys = f"web:{WEB}:call,sees:{SEES}:read"
    async with (
        controller(tmp_path, livekit, redis_url, keys=keys, regions=sixteen(livekit)) as fleet,
        fleet.worker("w-1", slots=SLOTS),
    ):
        assert [(await ask(fleet, WEB))[0] for _ in range(SLOTS + 1)] == [201] * SLOTS + [429]


@contextlib.asynccontextmanager
async def told(tmp_path: Path, redis_url: str, most: int) -> Any:
    """A controller that LiveKit's webhooks reach, with a limit of calls at once."""
    with Ports() as ports:
        port = ports.tcp()
        hook = f"http://127.0.0.1:{port}/webhooks/livekit/eu"
        async with servers.livekit_server("eu", webhook_urls=[hook]) as livekit:
            fields = {"regions": sixteen(livekit), "limits": {"concurrent_calls": most}}
            async with controller(tmp_path, livekit, redis_url, port=port, keys=KEYS, **fields) as fleet:
                yield fleet


async def counted(fleet: Running, key: str = "web") -> set[str]:
    return {str(member) for member in await fleet.redis.zrange(f"voicefleet:calls:{{{key}}}", 0, -1)}


async def test_a_ticket_that_is_used_again_does_not_get_past_the_limit(tmp_path: Path, redis_url: str) -> None:
    """Ticket, join, let the room end; another ticket; join with the first one again."""
    async with told(tmp_path, redis_url, most=1) as fleet, fleet.worker("w-1"):
        _, first, _ = await ask(fleet, WEB)
        async with caller(first["url"], first["token"]):
            await eventually(lambda: fleet.redis.zscore(EU.callers, first["room"]))
            status, answer, _ = await ask(fleet, WEB)
            assert (status, answer["error"]) == (429, "more than 1 calls at once")
        await fleet.api.room.delete_room(api.DeleteRoomRequest(room=first["room"]))

        async def free() -> bool:
            return not await counted(fleet)

        await eventually(free)
        _, second, _ = await ask(fleet, WEB)
        async with caller(second["url"], second["token"]) as live:
            await eventually(lambda: fleet.redis.zscore(EU.callers, second["room"]))
            replay = rtc.Room()
            ended = asyncio.Event()
            replay.on("disconnected", lambda *_: ended.set())
            await replay.connect(first["url"], first["token"])
            await asyncio.wait_for(ended.wait(), 10)
            assert live.connection_state == rtc.ConnectionState.CONN_CONNECTED
            assert await fleet.metric('voicefleet_joins_refused_total{reason="over_limit",region="eu"}') >= 1
            assert await counted(fleet) == {f"eu/{second['room']}"}


async def test_a_ticket_that_is_used_again_within_the_limit_is_a_call_with_its_record(
    tmp_path: Path, redis_url: str
) -> None:
    async with told(tmp_path, redis_url, most=1) as fleet, fleet.worker("w-1"):
        _, ticket, _ = await ask(fleet, WEB, tier="fast", metadata="order 7")
        async with caller(ticket["url"], ticket["token"]):
            await eventually(lambda: fleet.redis.zscore(EU.callers, ticket["room"]))
        await fleet.api.room.delete_room(api.DeleteRoomRequest(room=ticket["room"]))

        async def over() -> bool:
            return not await counted(fleet) and await fleet.redis.get(EU.call(ticket["room"])) is None

        await eventually(over)
        async with caller(ticket["url"], ticket["token"]) as room:
            await eventually(lambda: fleet.redis.get(EU.call(ticket["room"])))
            record = codec.load(CallRecord, await fleet.redis.get(EU.call(ticket["room"])) or "")
            assert (record.key, record.order.tier, record.order.metadata) == ("web", "fast", "order 7")

            async def again() -> bool:
                return await counted(fleet) == {f"eu/{ticket['room']}"}

            await eventually(again)
            assert (await ask(fleet, WEB))[0] == 429
            assert room.connection_state == rtc.ConnectionState.CONN_CONNECTED


async def test_a_call_that_redis_forgot_is_counted_and_never_ended(
    livekit: servers.LiveKit, redis_url: str, tmp_path: Path
) -> None:
    """Redis loses everything while calls are live: they count again, and none is ended for the limit."""
    fields: dict[str, Any] = {"regions": sixteen(livekit), "limits": {"concurrent_calls": 2}}
    async with controller(tmp_path, livekit, redis_url, keys=KEYS, **fields) as fleet, fleet.worker("w-1"):
        tickets = [(await ask(fleet, WEB))[1] for _ in range(2)]
        async with contextlib.AsyncExitStack() as stack:
            rooms = [await stack.enter_async_context(caller(t["url"], t["token"])) for t in tickets]
            for ticket in tickets:
                await eventually(partial(fleet.redis.zscore, EU.callers, ticket["room"]))

            async def a_third_before_they_are_known() -> bool:
                """A listing may count them again between the two."""
                await fleet.redis.flushall()
                return (await ask(fleet, WEB))[0] == 201

            await eventually(a_third_before_they_are_known)

            async def both() -> bool:
                return {f"eu/{t['room']}" for t in tickets} <= await counted(fleet)

            await eventually(both)
            assert (await ask(fleet, WEB))[0] == 429
            assert {room.connection_state for room in rooms} == {rtc.ConnectionState.CONN_CONNECTED}
            assert await fleet.metric('voicefleet_joins_refused_total{reason="over_limit",region="eu"}') == 0


async def test_a_ticket_counts_for_as_long_as_it_lets_in(
    livekit: servers.LiveKit, redis_url: str, tmp_path: Path
) -> None:
    """Five tickets at a limit of five, none used: no more until they cannot be used any longer."""
    fields: dict[str, Any] = {"regions": sixteen(livekit), "limits": {"concurrent_calls": 5}}
    async with controller(tmp_path, livekit, redis_url, keys=KEYS, **fields) as fleet, fleet.worker("w-1"):
        for _ in range(5):
            assert (await ask(fleet, WEB))[0] == 201

        async def aged(seconds: int) -> tuple[int, str]:
            for member in await counted(fleet):
                await fleet.redis.zincrby("voicefleet:calls:{web}", -seconds, member)
            status, answer, _ = await ask(fleet, WEB)
            return status, answer.get("error", "")

        assert await aged(0) == (429, "more than 5 calls at once")
        assert await aged(120) == (429, "more than 5 calls at once"), "LiveKit still lets them in"
        assert (await aged(PENDING_S - 120 + 1))[0] == 201
        assert len(await counted(fleet)) == 1


@pytest.mark.parametrize(("most", "status"), [(1000, 503), (0, 201)], ids=["a key with a limit", "a key without"])
async def test_while_redis_is_slow_only_keys_without_a_limit_get_tickets(
    most: int, status: int, livekit: servers.LiveKit, redis_url: str, tmp_path: Path
) -> None:
    limits = {"concurrent_calls": most}
    async with controller(tmp_path, livekit, redis_url, keys=KEYS, limits=limits) as fleet, fleet.worker("w-1"):
        assert (await ask(fleet, WEB))[0] == 201
        await fleet.redis.client_pause(4000)
        found, answer, headers = await ask(fleet, WEB)
        assert found == status, answer
        if found == 503:
            assert "cannot be counted now" in answer["error"]
            assert headers["Retry-After"] == "2"
        await fleet.redis.ping()  # the next test needs one that is not paused
