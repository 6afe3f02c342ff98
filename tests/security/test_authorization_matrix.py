"""Every route of a running controller x every role x regions: made from the routes that there are, so that a new one
without an entry fails."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from livekit import api

from support.controlling import Running, caller, controller, region
from support.eventually import eventually
from voicefleet.controller import app as controller_app
from voicefleet.controller.http.auth.keys import Role
from voicefleet.controller.http.routes import ROUTES, entry, require_entries
from voicefleet.runtime.http.server import HttpServer
from voicefleet.stack import servers
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration

REGIONS = ("", "eu", "us", "eu+us")
KEYS = {f"{role.value}-{regions.replace('+', '.') or 'all'}": (role, regions) for role in Role for regions in REGIONS}


def secret_of(name: str) -> str:
    return f"the-secret-of-{name}"


def listed_keys() -> str:
    keys = [f"{name}:{secret_of(name)}:{role.value}:{regions}".rstrip(":") for name, (role, regions) in KEYS.items()]
    return ",".join([*keys, f"front:{secret_of('front')}:call"])


@dataclass(frozen=True, slots=True)
class World:
    """The controller, and who asks it now."""

    fleet: Running
    key: str

    async def call_to_end(self) -> str:
        """A call in eu that the key may end, if it may end any there: its own, else somebody's."""
        own = self.key in KEYS and KEYS[self.key][0] is Role.CALL and sees_eu(self.key)
        body, headers = {"region": "eu"}, bearer(self.key if own else "front")
        async with self.fleet.http.post(f"{self.fleet.url}/v1/calls", json=body, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            return str((await answer.json())["room"])

    async def campaign(self) -> str:
        body = {"region": "eu", "starts_in_s": 9_000, "duration_s": 60, "calls": 0.001}
        headers = bearer("operate-all")
        async with self.fleet.http.post(f"{self.fleet.url}/v1/campaigns", json=body, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            return str((await answer.json())["id"])


@dataclass(frozen=True, slots=True)
class Asked:
    """How to ask for a route, about eu, and what is answered."""

    ok: int = 200
    """To a key with the role that is for eu, and to everybody where no role is asked for."""
    foreign: int = 200
    """To a key with the role that is for us alone; with 200 nothing of eu stands in the answer."""
    body: dict[str, Any] | None = None
    fill: Callable[[World], Awaitable[dict[str, str]]] | None = None


async def _worker(_: World) -> dict[str, str]:
    return {"worker": "w-eu"}


async def _room(world: World) -> dict[str, str]:
    return {"room": await world.call_to_end()}


async def _made_room(world: World) -> dict[str, str]:
    name = f"made-{secrets.token_hex(4)}"
    await world.fleet.api.room.create_room(api.CreateRoomRequest(name=name, empty_timeout=5))
    return {"room": name}


async def _campaign(world: World) -> dict[str, str]:
    return {"id": await world.campaign()}


async def _eu(_: World) -> dict[str, str]:
    return {"region": "eu"}


MATRIX: dict[tuple[str, str], Asked] = {
    ("GET", "/"): Asked(),
    ("GET", "/page.css"): Asked(),
    ("GET", "/page.js"): Asked(),
    ("GET", "/call.js"): Asked(),
    ("GET", "/runbooks"): Asked(),
    ("GET", "/livez"): Asked(),
    ("GET", "/readyz"): Asked(),
    ("GET", "/healthz"): Asked(),
    ("GET", "/metrics"): Asked(),
    # Signed by LiveKit, or refused: an API key is of no use there.
    ("POST", "/webhooks/livekit"): Asked(401, 401),
    ("POST", "/webhooks/livekit/{region}"): Asked(401, 401, fill=_eu),
    ("POST", "/v1/calls"): Asked(201, 403, {"region": "eu"}),
    ("GET", "/v1/probes"): Asked(),
    ("DELETE", "/v1/calls/{room}"): Asked(204, 404, fill=_room),
    ("POST", "/v1/calls/{room}/ticket"): Asked(201, 404, fill=_room),
    ("GET", "/v1/calls/{room}"): Asked(200, 404, fill=_room),
    ("POST", "/v1/rooms/{room}/agent"): Asked(202, 404, fill=_made_room),
    ("POST", "/v1/calls/{room}/agent"): Asked(202, 404, fill=_made_room),
    ("GET", "/v1/calls"): Asked(),
    ("GET", "/v1/past-calls"): Asked(),
    ("GET", "/v1/regions"): Asked(),
    ("GET", "/v1/canaries"): Asked(),
    ("GET", "/v1/decisions"): Asked(),
    ("GET", "/v1/history"): Asked(),
    ("GET", "/v1/health"): Asked(),
    ("GET", "/v1/incidents"): Asked(),
    ("GET", "/v1/openapi.json"): Asked(),
    ("GET", "/v1/workers/{worker}"): Asked(200, 404, fill=_worker),
    ("POST", "/v1/workers/{worker}/drain"): Asked(202, 404, fill=_worker),
    ("GET", "/v1/campaigns"): Asked(),
    ("POST", "/v1/campaigns"): Asked(201, 403, {"region": "eu", "duration_s": 60, "calls": 0.001}),
    ("DELETE", "/v1/campaigns/{id}"): Asked(204, 404, fill=_campaign),
}


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret_of(name)}"} if name else {}


def granted(name: str) -> set[Role]:
    role = KEYS[name][0]
    return {role, Role.READ} if role is Role.OPERATE else {role}


def sees_eu(name: str) -> bool:
    return KEYS[name][1] != "us"


@pytest.fixture
def apps(monkeypatch: pytest.MonkeyPatch) -> list[web.Application]:
    """The application of each controller that is started."""
    seen: list[web.Application] = []

    class Watched(HttpServer):
        def __init__(self, app: web.Application, *rest: Any, **more: Any) -> None:
            seen.append(app)
            super().__init__(app, *rest, **more)

    monkeypatch.setattr(controller_app, "HttpServer", Watched)
    return seen


async def test_every_route_asks_for_its_role_and_keeps_to_the_regions_of_the_key(
    livekit: LiveKit, redis_url: str, tmp_path: Path, apps: list[web.Application]
) -> None:
    pool = {"max_workers": 100, "slots": 50}
    limits = {"requests_per_minute": 100_000, "campaigns": 1000}
    async with (
        servers.livekit_server("us") as other,
        controller(
            tmp_path,
            livekit,
            redis_url,
            keys=listed_keys(),
            regions={"eu": region(livekit, pool=pool), "us": of_its_own(other, tmp_path, pool)},
            limits=limits,
        ) as fleet,
        fleet.worker("w-eu"),
    ):
        routes = {(r.method, r.resource.canonical) for r in apps[0].router.routes() if r.resource}
        registered = sorted((method, path) for method, path in routes if method != "HEAD")
        assert set(registered) == set(MATRIX), "a route without an entry here, or an entry without a route"
        async with fleet.http.post(f"{fleet.url}/v1/calls", json={"region": "eu"}, headers=bearer("front")) as answer:
            ticket = await answer.json()
        private = ("w-eu", ticket["room"], '"eu"')
        async with caller(ticket["url"], ticket["token"]):
            await eventually(lambda: says(fleet, "/v1/calls", ticket["room"]))
            await eventually(lambda: says(fleet, "/v1/regions", "w-eu"))
            wrong = []
            for (method, path), name in itertools.product(registered, ["", *KEYS]):
                problem = await tried(fleet, method, path, name, private)
                if problem:
                    wrong.append(f"{method} {path} with {name or 'no key'}: {problem}")
            assert not wrong, "\n".join(wrong)
            for name, query, status in (("read-us", "eu", 403), ("read-us", "us", 200), ("read-all", "mars", 400)):
                url = f"{fleet.url}/v1/calls?region={query}"
                async with fleet.http.get(url, headers=bearer(name)) as answer:
                    assert answer.status == status, (name, query)
            for name in ("call-us", "call-eu"):  # any region with room, of the key's
                async with fleet.http.post(f"{fleet.url}/v1/calls", json={}, headers=bearer(name)) as answer:
                    assert (await answer.json())["region"] == name.removeprefix("call-")


def of_its_own(server: LiveKit, folder: Path, pool: dict[str, Any]) -> dict[str, Any]:
    """The settings of a region whose LiveKit is not the other's."""
    secret = folder / "us-secret"
    secret.write_text(server.api_secret)
    made = region(server, pool=pool)
    del made["livekit"]["api_secret_env"]
    made["livekit"]["api_secret_file"] = str(secret)
    return made


async def says(fleet: Running, path: str, word: str) -> bool:
    async with fleet.http.get(fleet.url + path, headers=bearer("read-all")) as answer:
        return word in await answer.text()


async def tried(fleet: Running, method: str, path: str, name: str, private: tuple[str, ...]) -> str:
    """What is wrong with the answer; empty when nothing is.

    Args:
        private: words that only those may read who are for eu.
    """
    asked, wanted = MATRIX[method, path], entry(method, path)
    assert wanted is not None
    places: dict[str, str] = await asked.fill(World(fleet, name)) if asked.fill else {}
    url = fleet.url + path.format(**places)
    async with fleet.http.request(method, url, json=asked.body, headers=bearer(name)) as answer:
        status, text = answer.status, await answer.text()
        said = await answer.json() if answer.content_type == "application/json" and text else {}
    if not wanted.roles:
        return "" if status == asked.ok else f"{status} for {asked.ok}"
    if not name:
        return "" if status == 401 else f"{status} for 401"
    if not granted(name) & set(wanted.roles):
        named = all(role.value in said.get("error", "") for role in wanted.roles)
        return "" if status == 403 and named else f"{status} for 403: {text}"
    if sees_eu(name):
        return "" if status == asked.ok else f"{status} for {asked.ok}: {text}"
    if status != asked.foreign:
        return f"{status} for {asked.foreign}: {text}"
    if method == "GET" and status == 200:
        return "" if not any(word in text for word in private) else f"tells of eu: {text[:300]}"
    return ""


def test_a_route_without_an_entry_keeps_the_controller_from_starting() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/v1/calls", handler)
    require_entries(app)
    app.router.add_post(f"/v1/{secrets.token_hex(4)}", handler)
    with pytest.raises(RuntimeError, match=r"has no entry in voicefleet\.controller\.http\.routes"):
        require_entries(app)


def test_no_route_of_the_api_is_open() -> None:
    assert [r for r in ROUTES if r.path.startswith("/v1/") and not r.roles] == []
