"""Callers measure how far two real livekit-servers are, over an emulated network, and land in the nearest with room.
And two regions share one livekit-server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from livekit import api

from support.apart import apart
from support.controlling import Running, caller, controller, region
from support.eventually import eventually
from voicefleet.contract import codec
from voicefleet.contract.errors import MissingPartError
from voicefleet.contract.keys import Keys
from voicefleet.contract.reports import WorkerReport
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack import servers

pytestmark = pytest.mark.integration


async def test_calls_land_in_the_nearest_region_with_room(tmp_path: Path) -> None:
    try:
        async with apart(tmp_path) as world:
            for eu, us, nearest in ((20, 80, "eu"), (180, 20, "us"), (80, 180, "eu")):
                world.away(eu=eu, us=us)
                found = await world.call()
                measured, ticket = found["measured_ms"], found["ticket"]
                for name, ms in (("eu", eu), ("us", us)):
                    assert ms <= measured[name] < ms + 40, "a round trip over the network, and a loaded machine"
                assert (ticket["region"], ticket["placement"]["reason"]) == (nearest, "round_trip")
                assert [one["region"] for one in ticket["alternatives"]] == [{"eu": "us", "us": "eu"}[nearest]]
            await world.busy(eu=2)
            ticket = (await world.call())["ticket"]
            assert (ticket["region"], ticket["placement"]["reason"]) == ("us", "spill")
            eu_seen = next(c for c in ticket["placement"]["considered"] if c["region"] == "eu")
            assert eu_seen["verdict"] == "no_room_yet"
            await world.busy(eu=0)
            assert (await world.call())["ticket"]["region"] == "eu", "it has room again"
    except MissingPartError as error:
        if environment().get("CI"):
            raise
        pytest.skip(str(error))


async def _report(fleet: Running, name: str) -> None:
    """A worker of region `name` reports."""
    keys, worker = Keys(name), f"{name}-w"
    seconds, micros = await fleet.redis.time()
    report = WorkerReport(worker, name, "ready", 2, 0, uptime_s=9.0, accepting=0)
    await fleet.redis.zadd(keys.workers, {worker: seconds * 1000 + micros // 1000})
    await fleet.redis.set(keys.report(worker), codec.dump(report))
    await fleet.redis.publish(keys.events, worker)


async def test_regions_of_one_livekit_keep_their_calls_by_their_deployment(
    tmp_path: Path, livekit: servers.LiveKit, redis_url: str
) -> None:
    """Ticket, repair and orders by metadata: each names the deployment, and no region takes another's call."""
    regions = {name: region(livekit) for name in ("eu", "us")}
    for name, settings in regions.items():
        settings["livekit"]["deployment"] = name
    async with controller(tmp_path, livekit, redis_url, regions=regions) as fleet:
        ticket = await fleet.ticket(region="us")

        async def pinned(room: str) -> list[str]:
            return [found.deployment for found in await fleet.api.agent_dispatch.list_dispatch(room)]

        async def waits(room: str) -> list[str]:
            calls = (await fleet.get("/v1/calls"))["calls"]
            return [call["region"] for call in calls if call["room"] == room]

        async def repaired(room: str) -> bool:
            await _report(fleet, "us")
            return await pinned(room) == ["us", "us"]

        async with caller(ticket["url"], ticket["token"]):
            await eventually(lambda: waits(ticket["room"]))
            await eventually(lambda: repaired(ticket["room"]))
            assert await waits(ticket["room"]) == ["us"]
        order = json.dumps({"voicefleet": {"agent": "voicefleet", "deployment": "eu"}})
        await fleet.api.room.create_room(api.CreateRoomRequest(name="made", metadata=order, empty_timeout=30))
        token = (
            api.AccessToken(livekit.api_key, livekit.api_secret)
            .with_identity("ann")
            .with_grants(api.VideoGrants(room_join=True, room="made"))
        )
        async with caller(livekit.url, token.to_jwt()):
            await eventually(lambda: waits("made"))
            assert await waits("made") == ["eu"]
