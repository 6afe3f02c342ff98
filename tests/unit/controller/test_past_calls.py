"""`GET /v1/past-calls`: whoever follows the pages sees each call once, in order, of the regions that its key sees."""

from __future__ import annotations

import random
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web

from support.fake_region import FakeRegion, with_region
from support.http_requests import request, told
from support.region_settings import LIVEKIT, POOL, region_settings
from voicefleet.contract.call_archive import PackedCall
from voicefleet.controller.http.auth.access import Access
from voicefleet.controller.http.past_calls import PastCalls
from voicefleet.controller.settings.controller import Settings

pytestmark = pytest.mark.unit

START_MS = 1_764_000_000_000
KEYS = {"reader": "read", "mars": "read:mars", "front": "call"}


def calls_of(region: str, count: int, seed: int) -> list[PackedCall]:
    """Some start in the same millisecond."""
    rng = random.Random(seed)
    return [
        PackedCall(
            call=f"RM_{region}{number}",
            room=f"{region}-{number % 7}",
            opened_ms=START_MS + rng.randrange(10) * 60_000,
            ended_ms=START_MS + 700_000,
            packed="",
            dead_air_s=5.0 if number % 5 == 0 else 0.0,
            why="every slot had a call" if number % 5 == 0 else "",
        )
        for number in range(count)
    ]


class World:
    """Two regions with past calls, and who asks."""

    def __init__(self, eu: FakeRegion, mars: FakeRegion) -> None:
        self.regions = {"eu": eu, "mars": mars}
        eu.store.archive.past, mars.store.archive.past = calls_of("eu", 25, 1), calls_of("mars", 9, 2)
        section = {"livekit": LIVEKIT, "pool": POOL}
        keys = ",".join(f"{name}:the-secret-of-{name}-key:{roles}" for name, roles in KEYS.items())
        given = {"redis_url": "redis://fake", "api_keys_env": "KEYS", "regions": {"eu": section, "mars": section}}
        settings = Settings.model_validate(given, context={"KEYS": keys, "SECRET": "secret"})
        limiter: Any = eu.limiter
        regions = {name: fakes.region for name, fakes in self.regions.items()}
        self._app = web.Application(middlewares=[Access(settings, limiter, eu.metrics, eu.clock, regions).guard])
        PastCalls(regions).add_routes(self._app)

    async def ask(self, query: str = "", *, key: str = "reader") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer the-secret-of-{key}-key"}
        answer = await request(self._app, "GET", f"/v1/past-calls{query}", headers=headers)
        return answer.status, told(answer)

    async def follow(self, query: str, *, key: str = "reader") -> list[dict[str, Any]]:
        """The calls of all pages."""
        found, cursor = [], ""
        while True:
            status, page = await self.ask(f"?{query}{cursor}", key=key)
            assert status == 200, page
            found += page["calls"]
            if page["next"] is None:
                return found
            cursor = f"&cursor={quote(page['next'])}"


def with_world(story: Any) -> None:
    async def both(eu: FakeRegion) -> None:
        mars = FakeRegion()
        mars.region.settings = region_settings({}).named("mars")
        await story(World(eu, mars))

    with_region(both)


@pytest.mark.parametrize("limit", [1, 3, 10, 1000])
def test_pages_show_each_call_once_in_the_order_of_their_starts(limit: int) -> None:
    async def story(world: World) -> None:
        found = await world.follow(f"limit={limit}")
        assert len({(row["region"], row["call"]) for row in found}) == len(found) == 34
        assert [row["started_at"] for row in found] == sorted(row["started_at"] for row in found)

    with_world(story)


def test_filters_and_what_a_key_may_see() -> None:
    async def story(world: World) -> None:
        assert {row["region"] for row in await world.follow("limit=4", key="mars")} == {"mars"}
        silent = await world.follow("limit=4&dead_air_s=3&region=eu")
        assert [row["why"] for row in silent] == ["every slot had a call"] * 5
        assert {row["room"] for row in await world.follow("limit=4&room=eu-3")} == {"eu-3"}
        minute = await world.follow("limit=4&from=2025-11-24T16:02:00Z&to=2025-11-24T16:03:00")
        assert {row["started_at"] for row in minute} == {"2025-11-24T16:02:00.000Z"}
        status, page = await world.ask()
        assert (status, page["oldest"]) == (200, "2025-11-24T16:00:00.000Z")

    with_world(story)


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("?from=yesterday", 400, "from"),
        ("?to=99999-01-01", 400, "to"),
        ("?dead_air_s=nan", 400, "dead_air_s"),
        ("?dead_air_s=-1", 400, "dead_air_s"),
        ("?limit=0", 400, "limit"),
        ("?cursor=x", 400, "cursor"),
        ("?cursor=e30x", 400, "cursor"),
        ("?cursor=eyJldSI6WyJ4IiwxXX0", 400, "cursor"),
        ("?region=venus", 400, "region"),
    ],
)
def test_what_is_no_option_is_refused_by_its_name(query: str, status: int, field: str) -> None:
    async def story(world: World) -> None:
        answered, problem = await world.ask(query)
        assert (answered, problem["field"]) == (status, field), problem

    with_world(story)


def test_unknown_is_not_empty_and_a_key_that_places_calls_sees_none() -> None:
    async def story(world: World) -> None:
        world.regions["mars"].store.redis.away = True
        assert (await world.ask())[0] == 503
        assert (await world.ask("?region=eu"))[0] == 200
        assert (await world.ask(key="front"))[0] == 403

    with_world(story)
