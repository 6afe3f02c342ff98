"""`GET /v1/probes`: what a caller fetches to find out how near each region is."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from voicefleet.contract.placement import ProbeList, ProbeView
from voicefleet.controller.http.auth.access import key_of, seen
from voicefleet.controller.http.placing import signing_keys
from voicefleet.controller.http.problems import problem
from voicefleet.controller.http.reads import json_answer
from voicefleet.controller.placement.probe_tokens import VALID_S, sign
from voicefleet.controller.placement.view import redis_now_ms
from voicefleet.controller.regions.region import Region
from voicefleet.controller.settings.region import RegionSettings


class Probes:
    """The route."""

    def __init__(self, regions: Mapping[str, Region]) -> None:
        self._regions = regions
        self._signing = signing_keys(regions)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/v1/probes", self.show)

    async def show(self, request: web.Request) -> web.Response:
        """200 with a probe for each region of the key. 503 until Redis was read once."""
        key = key_of(request)
        now_ms = redis_now_ms(list(self._regions.values()))
        if now_ms is None:
            return problem(503, "what time it is on Redis's clock is not known yet", retry_after_s=1)
        urls = {pool.place: _url(pool.settings) for pool in seen(self._regions, key).values()}
        probes = [
            ProbeView(region=name, url=url, token=sign(self._signing[name], name, key.name, now_ms))
            for name, url in urls.items()
        ]
        return json_answer(ProbeList(probes=probes, valid_s=VALID_S))


def _url(settings: RegionSettings) -> str:
    """LiveKit answers at `/`, which tells how far it is as well as anything there."""
    return settings.probe_url or "http" + settings.livekit.url.removeprefix("ws").rstrip("/") + "/"
