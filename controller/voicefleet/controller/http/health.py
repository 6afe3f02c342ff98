"""Health of each region: one word for anybody; reasons need a key, because they quote workers' logs."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from voicefleet.contract import answers
from voicefleet.contract.answers import HealthView, Healthz, LeaderHealth
from voicefleet.contract.health import Health, worst
from voicefleet.controller.health.observe import region_health
from voicefleet.controller.http.auth.access import key_of
from voicefleet.controller.http.auth.keys import Key
from voicefleet.controller.http.views import finding_views
from voicefleet.controller.leader.leadership import Leadership
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.clock import Clock

_PUBLIC_EVERY_S = 0.5


def add_health(
    app: web.Application, replica: str, regions: Mapping[str, Region], leadership: Leadership, clock: Clock
) -> None:
    """`GET /healthz`, always 200 while we answer at all, and `GET /v1/health`."""

    def healths(seen: Mapping[str, Region]) -> dict[str, Health]:
        return {name: region_health(region, election=leadership.trouble) for name, region in seen.items()}

    def status(found: Mapping[str, Health]) -> answers.State:
        return worst(health.state for health in found.values()).value

    def view(key: Key) -> HealthView:
        found = healths({name: region for name, region in regions.items() if key.sees(region.place)})
        return HealthView(
            status=status(found),
            regions={name: health.text or "ok" for name, health in found.items()},
            findings={name: finding_views(health) for name, health in found.items()},
            leader=LeaderHealth(
                replica=replica, leads=leadership.leads, holder=leadership.holder, trouble=leadership.trouble or ""
            ),
        )

    known: list[tuple[float, answers.State]] = []

    async def healthz(_: web.Request) -> web.Response:
        # Anybody may ask, as often as they like: that must not cost a look at every worker each time.
        now_s = clock.monotonic()
        if not known or now_s - known[0][0] >= _PUBLIC_EVERY_S:
            known[:] = [(now_s, status(healths(regions)))]
        return web.json_response(Healthz(status=known[0][1]).model_dump())

    async def health(request: web.Request) -> web.Response:
        return web.json_response(view(key_of(request)).model_dump())

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/v1/health", health)
