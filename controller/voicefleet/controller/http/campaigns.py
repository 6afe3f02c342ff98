"""`/v1/campaigns`: rises of the rate that somebody announces, so that workers are ready when they begin.

What is announced for one time must fit the pool at its maximum: a typo would otherwise keep every worker up for days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiohttp import web

from voicefleet.contract.api import CampaignRequest, CampaignView
from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.http.auth.access import key_of, wrong_region
from voicefleet.controller.http.problems import posted, problem
from voicefleet.controller.pool.campaign_store import CampaignRecord
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.logs.setup import get_logger

MOST_OF_A_REGION = 200
"""Campaigns of all keys: every tick of the pool looks at them all."""

log = get_logger(__name__)


class Campaigns:
    """The routes.

    Args:
        most: campaigns of one key in one region that are not over.
    """

    def __init__(self, regions: Mapping[str, Region], *, most: int) -> None:
        self._regions = regions
        self._most = most

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/campaigns", self.announce)
        app.router.add_get("/v1/campaigns", self.list_all)
        app.router.add_delete("/v1/campaigns/{id}", self.delete)

    async def announce(self, request: web.Request) -> web.Response:
        """201 with the campaign. 400 for what is none, or more than the pool can take; 409 when the key, or the region,
        has as many as it may; 503 while Redis does not take it."""
        wanted = await posted(request, CampaignRequest)
        if isinstance(wanted, web.Response):
            return wanted
        key = key_of(request)
        if refused := wrong_region(key, wanted.region, self._regions):
            return refused
        pools = [pool for pool in self._regions.values() if pool.meant_by(wanted.region)]
        if len(pools) > 1:
            names = ", ".join(pool.name for pool in pools)
            return problem(400, "this region has several pools", field="region", hint=f"Name one: {names}.")
        region = pools[0]
        try:
            now_ms = await region.campaigns.now_ms()
            start_ms = now_ms + round(wanted.starts_in_s * 1000)
            end_ms = start_ms + round(wanted.duration_s * 1000)
            campaign = CampaignRecord(start_ms, end_ms, wanted.calls / wanted.duration_s, key=key.name)
            if refused := _too_large(region, campaign, await region.campaigns.current(now_ms)):
                return refused
            kept = await region.campaigns.announce(campaign)
            # Counted after it is kept: two at once may both be refused, and never both be one too many.
            if refused := self._too_many(region, key.name, await region.campaigns.current(now_ms)):
                await region.campaigns.withdraw(kept.id)
                return refused
        except UnknownStateError:
            return problem(503, "not kept: Redis does not answer", hint="Come back later.", retry_after_s=2.0)
        log.info("campaign announced", region=region.name, campaign=kept.id, key=key.name, calls=wanted.calls)
        return web.json_response(_view(region.name, kept, now_ms).model_dump(mode="json"), status=201)

    async def list_all(self, request: web.Request) -> web.Response:
        """Every campaign of the key's regions that is not over, those of the settings left out."""
        found: list[CampaignView] = []
        try:
            for name, region in self._regions.items():
                if key_of(request).sees(region.place):
                    now_ms = await region.campaigns.now_ms()
                    found += [_view(name, c, now_ms) for c in await region.campaigns.current(now_ms)]
        except UnknownStateError:
            return problem(503, "Redis does not answer", hint="Come back later.", retry_after_s=2.0)
        return web.json_response({"campaigns": [v.model_dump(mode="json") for v in found]})

    async def delete(self, request: web.Request) -> web.Response:
        """204: nothing is expected of it any more. 404 when the key's regions have no such campaign."""
        key, wanted = key_of(request), request.match_info["id"]
        try:
            for name, region in self._regions.items():
                if key.sees(region.place) and await region.campaigns.withdraw(wanted):
                    log.info("campaign withdrawn", region=name, campaign=wanted, key=key.name)
                    return web.Response(status=204)
        except UnknownStateError:
            return problem(503, "Redis does not answer", hint="Come back later.", retry_after_s=2.0)
        return problem(404, "no such campaign", field="id", hint="See GET /v1/campaigns.")

    def _too_many(self, region: Region, key: str, kept: Sequence[CampaignRecord]) -> web.Response | None:
        own = sum(c.key == key for c in kept)
        if own <= self._most and len(kept) <= MOST_OF_A_REGION:
            return None
        whose, most = (f"the key {key}", self._most) if own > self._most else ("all keys together", MOST_OF_A_REGION)
        return problem(
            409,
            f"more than {most} campaigns of {whose} in {region.name}",
            field="region",
            hint="Delete one: DELETE /v1/campaigns/ID.",
        )


def _too_large(region: Region, campaign: CampaignRecord, kept: Sequence[CampaignRecord]) -> web.Response | None:
    """Whether the calls of `campaign`, and of those that run beside it, are more than the pool can hold at once."""
    pool = region.settings.pool
    room, mean_s = pool.max_workers * pool.slots, region.pool.mean_call_s
    alone = campaign.concurrent_calls(mean_s)
    before = sum(c.concurrent_calls(mean_s) for c in campaign.overlapping(kept))
    if alone + before <= room:
        return None
    seconds = (campaign.end_ms - campaign.start_ms) / 1000
    most = max(0.0, room - before) / alone * campaign.rate * seconds
    others = f", with {before:.0f} announced before" if before else ""
    return problem(
        400,
        f"{alone + before:.0f} calls at once{others}, and {region.name} has {room} slots at most"
        f" ({pool.max_workers} workers of {pool.slots}; a call lasts {mean_s:.0f} s)",
        field="calls",
        hint=f"Announce at most {int(most)} calls for this time, or raise max_workers.",
    )


def _view(region: str, campaign: CampaignRecord, now_ms: int) -> CampaignView:
    return CampaignView(
        id=campaign.id,
        region=region,
        starts_in_s=(campaign.start_ms - now_ms) / 1000,
        ends_in_s=(campaign.end_ms - now_ms) / 1000,
        calls_per_s=campaign.rate,
        key=campaign.key,
    )
