"""Reads what the next observation of a pool is made of: instances, reports, calls, drains, campaigns."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.pool.call_stats import CallWatch
from voicefleet.controller.pool.campaign_store import CampaignRecord
from voicefleet.controller.pool.observe import Readings
from voicefleet.controller.pool.schedule import floor
from voicefleet.controller.pool.startups import startups
from voicefleet.controller.pool.worker_store import Reported
from voicefleet.controller.ports import Instance
from voicefleet.controller.regions.pool_view import KnownInstances
from voicefleet.controller.regions.region import Region
from voicefleet.scaling import Campaign

_CAMPAIGNS_EVERY_S = 5.0

T = TypeVar("T")


class PoolReader:
    """Reads one pool. A read that fails is noted in the region, and unknown in the readings."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._call_watch = CallWatch()
        self._last_reported_s: dict[str, float] = {}
        self._registered: frozenset[str] = frozenset()
        self._announced: tuple[CampaignRecord, ...] = ()
        self._announced_at_s = -_CAMPAIGNS_EVERY_S
        self._unheard_at_s = -math.inf
        """When reports could last not be read."""

    async def read(self, lead_s: float) -> Readings | None:
        """What is known now; None while it was never known what runs.

        Args:
            lead_s: how long it takes until a worker that is requested now is ready.
        """
        region = self._region
        managed = region.fleet is not None
        instances = None if region.fleet is None else await self._try("instances", region.fleet.instances)
        reports = await self._try("reports", region.reports.read)
        # Those known before are not kept: one that has left may have come back.
        leaving = await self._try("drains", region.workers.drains) or frozenset()
        if instances is not None:
            region.instances = KnownInstances(instances, region.clock.monotonic())
        elif managed and region.instances.at_s is None:
            return None
        now_s = region.clock.monotonic()
        campaigns = await self._campaigns(now_s)
        if reports is None:
            self._unheard_at_s = now_s
        self._note_reported(region.instances.last, reports or {}, now_s)
        found, self._registered = startups(region.instances.last, reports or {}, self._registered, now_s)
        snapshot = region.fresh_snapshot()
        return Readings(
            now_s=now_s,
            start_timeout_s=region.settings.pool.start_timeout_s,
            managed=managed,
            instances=region.instances.last,
            instances_known=instances is not None,
            settled=region.fleet is None or not region.fleet.rolling(),
            reports=reports,
            last_reported_s=self._last_reported_s,
            heard_for_s=now_s - self._unheard_at_s,
            leaving=leaving,
            snapshot=snapshot,
            sure=region.sure_snapshot(),
            stats=self._call_watch.look(snapshot),
            startups=found,
            campaigns=campaigns,
            floor=floor(region.settings.pool.shifts, region.clock.wall(), lead_s),
        )

    async def _try(self, source: str, read: Callable[[], Awaitable[T]]) -> T | None:
        try:
            value = await read()
        except UnknownStateError as error:
            self._region.reads.failed(source, error)
            return None
        self._region.reads.succeeded(source)
        return value

    def _note_reported(self, instances: tuple[Instance, ...], reports: Mapping[str, Reported], now_s: float) -> None:
        here = {i.id for i in instances}
        known = {worker: at_s for worker, at_s in self._last_reported_s.items() if worker in here}
        self._last_reported_s = known | dict.fromkeys(here & reports.keys(), now_s)

    async def _campaigns(self, now_s: float) -> tuple[Campaign, ...]:
        """Campaigns on the observation's clock. While Redis is away: those last known."""
        region = self._region
        wall_ms = region.clock.wall().timestamp() * 1000
        if now_s - self._announced_at_s >= _CAMPAIGNS_EVERY_S:
            self._announced_at_s = now_s
            if (announced := await self._try("campaigns", lambda: self._announced_by(wall_ms))) is not None:
                self._announced = announced
            else:
                self._announced_at_s = -math.inf  # asked again at the next pass
        return tuple(
            Campaign(now_s + (c.start_ms - wall_ms) / 1000, now_s + (c.end_ms - wall_ms) / 1000, c.rate)
            for c in (*(campaign.record for campaign in region.settings.pool.campaigns), *self._announced)
            if c.end_ms > wall_ms
        )

    async def _announced_by(self, wall_ms: float) -> tuple[CampaignRecord, ...]:
        """The announced campaigns, from Redis's clock on to ours, which shows `wall_ms`."""
        store = self._region.campaigns
        redis_ms = await store.now_ms()
        shift = round(wall_ms - redis_ms)
        return tuple(
            dataclasses.replace(c, start_ms=c.start_ms + shift, end_ms=c.end_ms + shift)
            for c in await store.current(redis_ms)
        )
