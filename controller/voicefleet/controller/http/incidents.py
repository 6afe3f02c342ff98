"""`GET /v1/incidents`: what happened to the regions in the last days, the newest first."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

from aiohttp import web

from voicefleet.contract.answers import INCIDENTS_A_READ, MOST_INCIDENTS_A_READ, IncidentList
from voicefleet.contract.api import IncidentView
from voicefleet.contract.incidents import Incident
from voicefleet.controller.http.auth.access import key_of, seen, wrong_region
from voicefleet.controller.http.reads import json_answer, number
from voicefleet.controller.regions.region import Region


def add_incidents(app: web.Application, regions: Mapping[str, Region]) -> None:
    """Add the route. While Redis is away, it answers with the incidents known last."""

    async def incidents(request: web.Request) -> web.Response:
        key, only = key_of(request), request.query.get("region")
        if only is not None and (refused := wrong_region(key, only, regions)):
            return refused
        limit = number(request, "limit", INCIDENTS_A_READ, MOST_INCIDENTS_A_READ)
        if isinstance(limit, web.Response):
            return limit
        pools = list(seen(regions, key, only).values())
        found = await asyncio.gather(*(region.incidents.read(limit) for region in pools))
        told = [(i.at_ms, _view(region.name, i)) for region, some in zip(pools, found, strict=True) for i in some]
        told.sort(key=lambda one: -one[0])
        return json_answer(IncidentList(incidents=[view for _, view in told[:limit]]))

    app.router.add_get("/v1/incidents", incidents)


def _view(region: str, incident: Incident) -> IncidentView:
    return IncidentView(
        at=datetime.fromtimestamp(incident.at_ms / 1000, UTC).isoformat(timespec="milliseconds"),
        region=region,
        kind=incident.kind,
        state=incident.state,
        text=incident.text,
        subject=incident.subject,
        lasted_s=incident.lasted_s,
        replica=incident.replica,
    )
