"""`POST /v1/calls` of a fleet with two regions, and `GET /v1/probes`: on fakes, behind the middleware of keys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest
from aiohttp import web

from support.fake_region import FakeRegion, with_region
from support.http_requests import request, told
from support.region_settings import LIVEKIT, POOL, region_settings
from voicefleet.contract.metrics import Metric
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.controller.http.auth.access import Access
from voicefleet.controller.http.call_detail import CallDetail
from voicefleet.controller.http.probes import Probes
from voicefleet.controller.http.room_agents import RoomAgents
from voicefleet.controller.http.tickets import Tickets
from voicefleet.controller.rooms.listing import RoomLister
from voicefleet.controller.settings.controller import Settings
from voicefleet.runtime.tasks import cancel_and_wait

pytestmark = pytest.mark.unit

SECRETS = {name: f"the-secret-of-{name}-key" for name in ("front", "acme", "eu-only")}
KEYS = f"front:{SECRETS['front']}:call,acme:{SECRETS['acme']}:call,eu-only:{SECRETS['eu-only']}:call:eu"
OF_REGION: dict[str, dict[str, Any]] = {"eu": {"residency": "eu-data"}, "us": {}}


@dataclass
class World:
    """Two regions and the application over them."""

    eu: FakeRegion
    us: FakeRegion
    app: web.Application

    async def __call__(self, method: str, path: str, body: object = b"", *, key: str = "front") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {SECRETS[key]}"}
        answer = await request(self.app, method, path, body, headers=headers)
        return answer.status, told(answer)

    async def call(self, *, key: str = "front", **body: object) -> tuple[int, Any]:
        return await self("POST", "/v1/calls", body, key=key)

    async def measured(self, **ms: float) -> list[dict[str, Any]]:
        """Round trips as a caller tells them who took so long for them."""
        status, told = await self("GET", "/v1/probes")
        assert status == 200, told
        await self.eu.clock.sleep(0.5)
        return [{"token": p["token"], "ms": ms[p["region"]]} for p in told["probes"] if p["region"] in ms]

    def counted(self, metric: Metric, **labels: str) -> float:
        return self.eu.metrics.registry.get_sample_value(metric.samples[0], labels) or 0.0


def with_two(story: Callable[[World], Awaitable[None]], **of_region: dict[str, Any]) -> None:
    """Run `story` in virtual time; each region has two workers of two slots."""

    async def go(eu: FakeRegion) -> None:
        us = FakeRegion()
        fields = {name: {**OF_REGION[name], **of_region.get(name, {})} for name in OF_REGION}
        for name, fakes in (("eu", eu), ("us", us)):
            secret = {**LIVEKIT, "url": f"ws://{name}"}
            fakes.region.settings = region_settings({"slots": 2}, livekit=secret, **{**fields[name]}).named(name)
        given = {
            "redis_url": "redis://fake",
            "api_keys_env": "KEYS",
            "placement": {"countries": {"DE": "eu", "US": "us"}, "residency": {"acme": "eu-data"}},
            "regions": {
                name: {"livekit": {**LIVEKIT, "url": f"ws://{name}"}, "pool": POOL, **f} for name, f in fields.items()
            },
        }
        settings = Settings.model_validate(given, context={"KEYS": KEYS, "SECRET": "secret"})
        regions, limiter = {"eu": eu.region, "us": us.region}, cast(Any, eu.limiter)
        access = Access(settings, limiter, eu.metrics, eu.clock, regions)
        app = web.Application(middlewares=[access.guard])
        Tickets(settings, regions, access, eu.joins, limiter, eu.metrics).add_routes(app)
        Probes(regions).add_routes(app)
        CallDetail(regions).add_routes(app)
        RoomAgents(regions, settings.placement.residency).add_routes(app)
        world = World(eu, us, app)
        listers = [RoomLister(f.region, f.joins, every_s=1.0, max_duration_s=0.0) for f in (eu, us)]
        loops = [asyncio.ensure_future(lister.run()) for lister in listers]
        try:
            for fakes in (eu, us):
                for number in range(2):
                    fakes.workers.add(f"w{number}", slots=2)
            await eu.clock.sleep(0.1)
            for fakes in (eu, us):
                await fakes.region.reports.read()
            await story(world)
        finally:
            await cancel_and_wait(loops)
            await us.livekit.close()

    with_region(go)


async def fill(fakes: FakeRegion) -> None:
    """Every slot that the region can have is taken."""
    for number in range(8):
        await fakes.call(f"r{number}")
    await fakes.clock.sleep(1.5)
    await fakes.region.reports.read()


def test_a_call_goes_to_the_region_that_its_caller_measured_as_the_nearest_and_is_told_why() -> None:
    async def story(world: World) -> None:
        status, ticket = await world.call(round_trips=await world.measured(eu=180.0, us=20.0))
        assert (status, ticket["region"], ticket["url"]) == (201, "us", "ws://us")
        assert ticket["placement"] == {
            "reason": "round_trip",
            "considered": [
                {"region": "us", "verdict": "chosen", "round_trip_ms": 20.0},
                {"region": "eu", "verdict": "behind", "round_trip_ms": 180.0},
            ],
        }
        assert ticket["alternatives"] == [{"region": "eu", "url": "ws://eu"}]
        record = world.us.store.redis.records[ticket["room"]]
        assert record.placement == "nearest as measured, 20 ms"
        assert world.counted(catalogue.PLACEMENTS, region="us", reason="round_trip") == 1

    with_two(story)


def test_a_forged_time_is_ignored_and_counted_and_the_call_is_placed_all_the_same() -> None:
    async def story(world: World) -> None:
        true = await world.measured(eu=180.0, us=20.0)
        version, region, issued, code = true[1]["token"].split(".")
        forged = ".".join((version, region, str(int(issued) + 1), code))
        trips = [true[0], {"token": forged, "ms": 1.0}, {"token": "x", "ms": 1.0}, {**true[1], "ms": 60_000.0}]
        status, ticket = await world.call(round_trips=trips)
        assert (status, ticket["region"]) == (201, "eu")
        ignored = {why: world.counted(catalogue.ROUND_TRIPS_IGNORED, reason=why) for why in ("forged", "impossible")}
        assert ignored == {"forged": 2, "impossible": 1}
        status, ticket = await world.call(key="acme", round_trips=true)
        assert world.counted(catalogue.ROUND_TRIPS_IGNORED, reason="forged") == 4, "they are another key's"
        await world.eu.clock.sleep(61.0)
        await world.call(round_trips=true)
        assert world.counted(catalogue.ROUND_TRIPS_IGNORED, reason="old") == 2

    with_two(story)


def test_clocks_that_are_minutes_apart_make_no_difference() -> None:
    """Times of tokens are Redis's; the fakes' is a quarter of an hour off the loop's clock."""

    async def story(world: World) -> None:
        _, told = await world("GET", "/v1/probes")
        issued_ms = int(told["probes"][0]["token"].split(".")[2])
        assert abs(issued_ms / 1000 - world.eu.clock.monotonic()) > 600

    with_two(story)


def test_a_call_of_a_residency_group_is_refused_rather_than_placed_elsewhere() -> None:
    async def story(world: World) -> None:
        near_us = await world.measured(eu=180.0, us=20.0)
        status, ticket = await world.call(residency="eu-data", round_trips=near_us, country="US")
        assert (status, ticket["region"]) == (201, "eu")
        assert "alternatives" not in ticket
        for key, body in (("acme", {"region": "us"}), ("front", {"region": "us", "residency": "eu-data"})):
            status, problem = await world.call(key=key, **body)
            assert (status, problem["field"], problem["hint"]) == (403, "region", "Its regions: eu.")
        status, problem = await world.call(residency="eu-dat")
        assert (status, problem["field"], problem["hint"]) == (400, "residency", "Known: eu-data.")
        await fill(world.eu)
        for key, body in (("acme", {}), ("front", {"residency": "eu-data"}), ("front", {"country": "DE"})):
            status, problem = await world.call(key=key, **body)
            assert (status, "stays in the residency group eu-data" in problem["error"]) == (503, True)
        assert (await world.call())[1]["region"] == "us", "nobody said where this one belongs"

    with_two(story)


def test_a_key_that_is_bound_to_a_group_gets_no_agent_in_a_room_outside_of_it() -> None:
    async def story(world: World) -> None:
        for fakes, name in ((world.us, "far"), (world.eu, "near")):
            await fakes.livekit.create_room(name, empty_timeout_s=60)
        asked = {
            (key, room): (await world("POST", f"/v1/rooms/{room}/agent", key=key))[0]
            for key in ("acme", "front")
            for room in ("far", "near")
        }
        assert asked == {("acme", "far"): 404, ("acme", "near"): 202, ("front", "far"): 202, ("front", "near"): 202}

    with_two(story)


def test_a_key_that_is_bound_to_a_group_cannot_name_another() -> None:
    async def story(world: World) -> None:
        status, problem = await world.call(key="acme", residency="us-data")
        assert (status, problem["field"]) == (403, "residency")
        assert (await world.call(key="acme", residency="eu-data"))[0] == 201

    with_two(story, us={"residency": "us-data"})


def test_a_full_region_that_was_asked_for_spills_where_the_settings_say_so_alone() -> None:
    async def story(world: World) -> None:
        assert (await world.call(region="us"))[1]["placement"]["reason"] == "asked"
        await fill(world.us)
        status, ticket = await world.call(region="us")
        assert (status, ticket["region"], ticket["placement"]["reason"]) == (201, "eu", "spill")
        assert ticket["placement"]["considered"][0] == {"region": "us", "verdict": "full"}
        status, found = await world("GET", f"/v1/calls/{ticket['room']}")
        assert (status, found["placement"]) == (200, "the next with room, us is full")
        await fill(world.eu)
        assert (await world.call(region="us"))[0] == 503

    with_two(story, us={"spill_to": ["eu"]})


def test_a_region_whose_livekit_does_not_answer_is_the_last_choice() -> None:
    async def story(world: World) -> None:
        world.us.livekit.away = True
        await world.us.clock.sleep(8.0)
        for fakes in (world.eu, world.us):
            await fakes.region.reports.read()
        trips = await world.measured(eu=180.0, us=20.0)
        status, ticket = await world.call(round_trips=trips)
        assert (status, ticket["region"], ticket["placement"]["considered"][0]["verdict"]) == (201, "eu", "unwell")
        assert (await world.call(region="us"))[1]["region"] == "us", "nowhere else is allowed: better than none"

    with_two(story)


def test_a_key_of_one_region_is_told_of_no_other() -> None:
    async def story(world: World) -> None:
        _, told = await world("GET", "/v1/probes", key="eu-only")
        assert [probe["region"] for probe in told["probes"]] == ["eu"]
        assert told["probes"][0]["url"] == "http://eu/"
        _, ticket = await world.call(key="eu-only")
        assert [c["region"] for c in ticket["placement"]["considered"]] == ["eu"]

    with_two(story)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"country": "de"}, "country"),
        ({"address": "nowhere"}, "address"),
        ({"residency": "EU"}, "residency"),
        ({"round_trips": [{"ms": 1.0}]}, "round_trips.0.token"),
        ({"round_trips": [{"token": "x", "ms": "fast"}]}, "round_trips.0.ms"),
    ],
)
def test_what_is_no_place_is_refused_with_its_field(body: dict[str, Any], field: str) -> None:
    async def story(world: World) -> None:
        status, problem = await world.call(**body)
        assert (status, problem["field"]) == (400, field)

    with_two(story)
