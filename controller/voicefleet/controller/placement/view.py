"""What placement sees of the regions, taken from their views: no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from voicefleet.contract.errors import Dependency
from voicefleet.contract.health import HealthState
from voicefleet.controller.health.observe import region_health
from voicefleet.controller.placement.place import RegionSeen
from voicefleet.controller.regions.capacity import RegionCapacity
from voicefleet.controller.regions.dependencies import dependencies
from voicefleet.controller.regions.region import Region
from voicefleet.controller.regions.routing import by_version

LOOK_EVERY_S = 0.5
"""A look at a region's health goes through all its workers: it is not made for each request."""

_TOLD_BY_ROOM = ("refused_", "callers_wait", "full", "no_ready_workers")
"""Findings that tell of too many calls or too few workers: how much room there is says it better, and sooner."""


class RegionsView:
    """Remembers for a moment whether each region is well."""

    def __init__(self) -> None:
        self._well: dict[str, tuple[float, bool]] = {}

    def see(self, pools: Iterable[Region], room: str, capacity: Callable[[Region], RegionCapacity]) -> list[RegionSeen]:
        """The regions of `pools`, each with the pool that the call in `room` is for."""
        by_name = {pool.name: pool for pool in pools}
        found = by_version(by_name.values(), room, capacity)
        return [self._seen(by_name[one.region], one) for one in found]

    def _seen(self, pool: Region, capacity: RegionCapacity) -> RegionSeen:
        settings = pool.settings
        return RegionSeen(pool.place, capacity, settings.residency, settings.spill_to, well=self._is_well(pool))

    def _is_well(self, pool: Region) -> bool:
        now_s = pool.clock.monotonic()
        known = self._well.get(pool.name)
        if known is None or now_s - known[0] >= LOOK_EVERY_S:
            known = self._well[pool.name] = (now_s, is_well(pool))
        return known[1]


def is_well(pool: Region) -> bool:
    """Whether a call that goes there now can be expected to be served. What is not known is well: LiveKit dispatches
    by itself, and a region is not left because we cannot see it."""
    if not dependencies(pool)[Dependency.LIVEKIT]:
        return False
    failing = (f for f in region_health(pool).findings if f.state is HealthState.FAILING)
    return all(finding.id.startswith(_TOLD_BY_ROOM) for finding in failing)


def redis_now_ms(regions: Sequence[Region]) -> int | None:
    """The time on Redis's clock, reckoned from the last scan of any region; None: there was none yet."""
    scanned = [region.scans for region in regions if region.scans.snapshot is not None]
    if not scanned:
        return None
    latest = min(scanned, key=lambda scans: scans.age_s)
    assert latest.snapshot is not None
    return latest.now_ms(latest.snapshot)
