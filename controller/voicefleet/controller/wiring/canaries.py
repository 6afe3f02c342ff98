"""The canaries of the settings: each with its analysis, and what moves its calls to the version beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from voicefleet.contract.call_log import CallLog
from voicefleet.contract.pools import PoolRole
from voicefleet.controller.calls.dispatch import Dispatcher
from voicefleet.controller.canary.analysis import CanaryAnalysis
from voicefleet.controller.canary.dispatch import CanaryDispatcher
from voicefleet.controller.canary.moves import CallMoves
from voicefleet.controller.canary.tier_analysis import TierAnalysis
from voicefleet.controller.canary.trial import TierTrial, TierView, Trial, TrialView
from voicefleet.controller.leader.leadership import Leadership
from voicefleet.controller.regions.region import Region
from voicefleet.controller.settings.controller import Settings
from voicefleet.controller.wiring.shared import Shared
from voicefleet.runtime.redis.connection import RedisClient


@dataclass(frozen=True, slots=True)
class Canary:
    """One canary, and the pool of the stable version beside it."""

    canary: Region
    stable: Region
    view: TrialView
    moves: CallMoves
    analysis: CanaryAnalysis

    def is_canary(self, pool: Region) -> bool:
        return pool is self.canary

    def dispatcher(self, pool: Region) -> Dispatcher:
        """What serves the queue of `pool`, which is one of the two."""
        if pool is self.stable:
            return Dispatcher(pool)
        return CanaryDispatcher(pool, self.stable, self.view, self.moves, self.analysis.canary_figures)

    def note_over(self, pool: Region) -> Callable[[CallLog], Awaitable[None]]:
        """What is told of the calls of `pool` that are over."""
        return (self.analysis.canary_figures if self.is_canary(pool) else self.analysis.stable_figures).note_over


def open_trials(settings: Settings, regions: Mapping[str, Region], redis: RedisClient) -> None:
    """Have each canary known to its own pool and to the one beside it."""
    for pool in regions.values():
        if pool.settings.role is not PoolRole.CANARY:
            continue
        place = pool.settings.place
        agent = settings.regions[place.region].agents[place.agent]
        version = agent.versions[place.version]
        stable = _beside(pool, regions)
        assert version.objectives is not None, "the settings check it"
        pool.moved = CallMoves(redis, pool.name, stable.name).moved
        pool.trial = stable.trial = TrialView(
            Trial(
                region=place.region,
                agent=place.agent,
                version=place.version,
                stable=agent.stable,
                pool=pool.name,
                stable_pool=stable.name,
                weight=version.weight,
                objectives=version.objectives,
                id=pool.settings.trial,
            )
        )


def open_tier_trials(regions: Mapping[str, Region]) -> None:
    """Have each canary of tiers known to its pool."""
    for pool in regions.values():
        settings, place = pool.settings, pool.settings.place
        split = settings.tier_split
        if split is None or settings.role is not PoolRole.STABLE:
            continue
        rule = settings.tier_canary
        text = json.dumps([split.stable, split.canary, split.weight, rule.model_dump(mode="json")], sort_keys=True)
        pool.tier_trial = TierView(
            TierTrial(
                region=place.region,
                agent=place.agent,
                version=split.canary,
                stable=split.stable,
                pool=pool.name,
                weight=split.weight,
                rule=rule,
                id=hashlib.sha256(text.encode()).hexdigest()[:12],
            )
        )


def build_tier_analysis(shared: Shared, region: Region, leadership: Leadership) -> TierAnalysis | None:
    """What looks at the canary of tiers in this pool; None: there is none."""
    if region.tier_trial is None:
        return None
    return TierAnalysis(shared.redis, region.tier_trial, region, leadership)


def build_canaries(shared: Shared, leadership: Leadership) -> dict[str, Canary]:
    """Each canary, by the name of its own pool and of the one beside it."""
    found: dict[str, Canary] = {}
    for pool in shared.regions.values():
        if pool.settings.role is not PoolRole.CANARY or pool.trial is None:
            continue
        stable = _beside(pool, shared.regions)
        moves = CallMoves(shared.redis, pool.name, stable.name)
        analysis = CanaryAnalysis(shared.redis, pool.trial, pool, stable, leadership)
        found[pool.name] = found[stable.name] = Canary(pool, stable, pool.trial, moves, analysis)
    return found


def _beside(canary: Region, regions: Mapping[str, Region]) -> Region:
    """The pool of the stable version of the same agent."""
    place = canary.settings.place
    return next(
        pool
        for pool in regions.values()
        if pool.settings.role is PoolRole.STABLE
        and (pool.place, pool.settings.place.agent) == (place.region, place.agent)
    )
