"""Health of each region: one word for anybody; reasons need a key, because they quote workers' logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from aiohttp import web

from voicefleet.contract.answers import HealthView, Healthz, LeaderHealth
from voicefleet.controller.http.auth.access import key_of
from voicefleet.controller.http.auth.keys import Key
from voicefleet.controller.leader.leadership import Leadership
from voicefleet.controller.regions.region import Region


def add_health(app: web.Application, replica: str, regions: Mapping[str, Region], leadership: Leadership) -> None:
    """`GET /healthz`, always 200 while we answer at all, and `GET /v1/health`."""

    def status(seen: Iterable[Region]) -> Literal["ok", "unknown"]:
        return "ok" if all(region.fresh_snapshot() is not None for region in seen) else "unknown"

    def view(key: Key) -> HealthView:
        seen = {name: region for name, region in regions.items() if key.sees(region.place)}
        return HealthView(
            status=status(seen.values()),
            regions={name: region.reason or "ok" for name, region in seen.items()},
            leader=LeaderHealth(
                replica=replica, leads=leadership.leads, holder=leadership.holder, trouble=leadership.trouble or ""
            ),
        )

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response(Healthz(status=status(regions.values())).model_dump())

    async def health(request: web.Request) -> web.Response:
        return web.json_response(view(key_of(request)).model_dump())

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/v1/health", health)
