"""What is wrong where: one word for anybody, and in words behind a key, because reasons quote workers' logs."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from voicefleet.contract.answers import HealthView, Healthz, LeaderHealth
from voicefleet.controller.leadership import Leadership
from voicefleet.controller.region import Region


def add_health(app: web.Application, replica: str, regions: Mapping[str, Region], leadership: Leadership) -> None:
    """`GET /healthz`, always 200 while we answer at all, and `GET /v1/health`."""

    def view() -> HealthView:
        known = all(region.fresh_snapshot() is not None for region in regions.values())
        return HealthView(
            status="ok" if known else "unknown",
            regions={name: region.reason or "ok" for name, region in regions.items()},
            leader=LeaderHealth(
                replica=replica, leads=leadership.leads, holder=leadership.holder, trouble=leadership.trouble or ""
            ),
        )

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response(Healthz(status=view().status).model_dump())

    async def health(_: web.Request) -> web.Response:
        return web.json_response(view().model_dump())

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/v1/health", health)
