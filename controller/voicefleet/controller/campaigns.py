"""`/v1/campaigns`: rises of the rate that somebody announces, so that workers are ready when they begin."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web
from pydantic import ValidationError

from voicefleet.contract.api import CampaignRequest, CampaignView
from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.laws import CampaignRecord
from voicefleet.controller.problems import problem
from voicefleet.controller.region import Region
from voicefleet.runtime.connections import read_body


class Campaigns:
    """The routes; whoever may ask for calls may announce them."""

    def __init__(self, regions: Mapping[str, Region]) -> None:
        self._regions = regions

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/campaigns", self.announce)
        app.router.add_get("/v1/campaigns", self.list_all)

    async def announce(self, request: web.Request) -> web.Response:
        """201 with the campaign. 400 for what is none, 503 while Redis does not take it."""
        try:
            wanted = CampaignRequest.model_validate_json(await read_body(request) or b"{}")
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "body"
            return problem(400, str(first["msg"]).lower(), field=field, way_out="Correct it and ask again.")
        region = self._regions.get(wanted.region)
        if region is None or region.laws is None:
            known = ", ".join(sorted(self._regions))
            return problem(400, f"no region {wanted.region}", field="region", way_out=f"Known: {known}.")
        try:
            now_ms = await region.laws.now_ms()
            start_ms = now_ms + round(wanted.starts_in_s * 1000)
            end_ms = start_ms + round(wanted.duration_s * 1000)
            kept = await region.laws.announce(CampaignRecord(start_ms, end_ms, wanted.calls / wanted.duration_s))
        except UnknownStateError:
            return problem(503, "not kept: Redis does not answer", way_out="Come back later.", retry_after_s=2.0)
        return web.json_response(_view(wanted.region, kept, now_ms).model_dump(mode="json"), status=201)

    async def list_all(self, request: web.Request) -> web.Response:
        """Every campaign that is not over, those of the settings left out."""
        found: list[CampaignView] = []
        try:
            for name, region in self._regions.items():
                if region.laws is not None:
                    now_ms = await region.laws.now_ms()
                    found += [_view(name, c, now_ms) for c in await region.laws.campaigns(now_ms)]
        except UnknownStateError:
            return problem(503, "Redis does not answer", way_out="Come back later.", retry_after_s=2.0)
        return web.json_response({"campaigns": [v.model_dump(mode="json") for v in found]})


def _view(region: str, campaign: CampaignRecord, now_ms: int) -> CampaignView:
    return CampaignView(
        id=campaign.id,
        region=region,
        starts_in_s=(campaign.start_ms - now_ms) / 1000,
        ends_in_s=(campaign.end_ms - now_ms) / 1000,
        calls_per_s=campaign.rate,
    )
