"""How many calls a region can take now, and which one dials an outbound call. Pure over what is known.

A fleet is full when calls have its slots, or wait for them. Tickets that nobody has joined with close it to nobody but
the key that holds them: to that one, once they stand for its share of the free slots. Each that is joined with becomes
a call, so a front end that wants the whole fleet gets it as fast as its callers join.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from voicefleet.controller.regions.region import Region


@dataclass(frozen=True, slots=True)
class RegionCapacity:
    """How many calls one region can take now. None: unknown."""

    region: str
    free_now: int | None
    """Free slots beyond the calls that wait for one."""
    free_at_most: int | None
    """Free slots if the pool were at its maximum."""
    reserved: int = 0
    """Callers with a ticket who have not joined yet."""
    own: int = 0
    """Those of them whose ticket is of the key that asks."""
    held: int = 0
    """All tickets of that key that still let in, and that nobody has joined with."""
    slots: int = 0
    """Slots of the pool at its maximum."""
    ratio: float = 1.0
    """Share of the free slots that callers on the way with tickets of one key may stand for."""
    soon: int = 0
    """Slots of workers that start now."""

    @property
    def full(self) -> bool:
        """Surely no slot now and none to come. What is unknown is never full: LiveKit may well have a worker."""
        return self._free is not None and self._free < 1

    @property
    def spent(self) -> bool:
        """Whether the key's callers on the way stand for its share of the free slots, or for one if that is more; or it
        keeps tickets for as many callers as the pool has slots, who could all come at once."""
        if self._free is None:
            return False
        return self.own >= max(1, math.floor(self._free * self.ratio)) or self.held >= max(1, self.slots)

    @property
    def _free(self) -> int | None:
        if self.free_now is None or self.free_at_most is None:
            return None
        return max(self.free_now, self.free_at_most)


def capacity_of(region: Region, key: str, ratio: float) -> RegionCapacity:
    """What `region` can take of the calls of `key`, as far as it is known. See `RegionCapacity.ratio`."""
    snapshot, reports = region.fresh_snapshot(), region.reports.fresh()
    if snapshot is None or reports is None:
        return RegionCapacity(region.name, None, None)
    pool = region.settings.pool
    unserved, counts = snapshot.waiting + snapshot.joining, region.reservations.counts(snapshot, key)
    free, starting = region.slots(snapshot, reports)
    return RegionCapacity(
        region.name,
        free_now=free - unserved,
        free_at_most=pool.max_workers * pool.slots - snapshot.live - unserved,
        reserved=counts.expected,
        own=counts.own,
        held=counts.held,
        slots=pool.max_workers * pool.slots,
        ratio=ratio,
        soon=starting,
    )


def choose(regions: Sequence[RegionCapacity]) -> RegionCapacity | None:
    """The region with the most free slots now, then at its maximum, reservations taken off; unknown ones last.

    Returns:
        None when in every region no slot is free, or the key has as many unused tickets as it may: see
        `RegionCapacity.full` and `spent`.
    """
    able = [region for region in regions if not region.full and not region.spent]
    if not able:
        return None

    def rank(region: RegionCapacity) -> tuple[bool, bool, int, int]:
        now, most = (region.free_now or 0) - region.reserved, (region.free_at_most or 0) - region.reserved
        return region.free_now is not None, now > 0, now, most

    return max(able, key=rank)
