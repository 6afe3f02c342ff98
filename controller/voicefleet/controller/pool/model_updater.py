"""Completes each observation with arrivals, ages and campaigns, and keeps the learned models for the next leader."""

from __future__ import annotations

import dataclasses

from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.pool.call_stats import CallWatch
from voicefleet.controller.pool.campaign_store import CampaignRecord
from voicefleet.controller.pool.schedule import floor
from voicefleet.controller.regions.region import Region
from voicefleet.scaling import Campaign, PolicyState, PoolObservation
from voicefleet.scaling.policy_state import dump, load

SAVE_EVERY_S = 60.0
_CAMPAIGNS_EVERY_S = 5.0
_MARGIN = 1.3


class ModelUpdater:
    """Completes the observations of one pool, and keeps its models in Redis."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._watch = CallWatch()
        self._starts_seen = 0
        self._saved_s = region.clock.monotonic()
        self._looked_s = -_CAMPAIGNS_EVERY_S
        self._announced: tuple[CampaignRecord, ...] = ()

    async def restore(self) -> PolicyState | None:
        """What the last leader learned. Raises `UnknownStateError`."""
        text = await self._region.models.read()
        return None if text is None else load(text)

    async def save(self, learned: PolicyState, *, at_once: bool = False) -> None:
        """Leave what was learned for the next leader, now and then. While Redis is away it is not left."""
        region, now_s = self._region, self._region.clock.monotonic()
        if not at_once and now_s - self._saved_s < SAVE_EVERY_S:
            return
        self._saved_s = now_s
        try:
            await region.models.write(dump(learned))
        except UnknownStateError as error:
            region.read_failed("models", error)
            return
        region.read_succeeded("models")

    async def complete(self, observation: PoolObservation, learned: PolicyState | None) -> PoolObservation:
        """The observation with what the calls since the last one were, and with what was announced."""
        region = self._region
        snapshot = region.fresh_snapshot()
        stats = self._watch.look(snapshot)
        seconds = region.start_times.seconds
        new = region.start_times.count - self._starts_seen
        self._starts_seen = region.start_times.count
        lead_s = (
            learned.tables.horizons_s[0] * _MARGIN if learned and learned.tables else region.settings.start_timeout_s
        )
        return dataclasses.replace(
            observation,
            arrived=stats.arrived if stats else None,
            ages_s=stats.ages_s if stats else None,
            ended_s=stats.ended_s if stats else (),
            started_s=seconds[-new:] if new > 0 else (),
            campaigns=await self._campaigns(observation.now_s),
            floor=floor(region.settings.schedule, region.clock.wall(), lead_s),
        )

    async def _campaigns(self, now_s: float) -> tuple[Campaign, ...]:
        """Campaigns on the observation's clock. While Redis is away: those last known."""
        region = self._region
        wall_ms = region.clock.wall().timestamp() * 1000
        if now_s - self._looked_s >= _CAMPAIGNS_EVERY_S:
            self._looked_s = now_s
            try:
                redis_ms = await region.campaigns.now_ms()
                kept = await region.campaigns.current(redis_ms)
            except UnknownStateError as error:
                region.read_failed("campaigns", error)
            else:
                region.read_succeeded("campaigns")
                shift = round(wall_ms - redis_ms)
                self._announced = tuple(
                    dataclasses.replace(c, start_ms=c.start_ms + shift, end_ms=c.end_ms + shift) for c in kept
                )
        known = (*region.settings.campaigns, *self._announced)
        return tuple(
            Campaign(now_s + (c.start_ms - wall_ms) / 1000, now_s + (c.end_ms - wall_ms) / 1000, c.rate)
            for c in known
            if c.end_ms > wall_ms
        )
