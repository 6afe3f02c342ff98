"""Which region a new call goes to, and whether there is room for it at all. Pure over what is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from voicefleet.controller.region import Region


@dataclass(frozen=True, slots=True)
class Room:
    """Room for calls in one region. None: unknown."""

    region: str
    free_now: int | None
    """Free slots beyond the calls that wait for one."""
    free_at_most: int | None
    """Free slots if the pool were at its maximum."""

    @property
    def full(self) -> bool:
        """Surely no slot now and none to come. What is unknown is never full: LiveKit may well have a worker."""
        return self.free_now is not None and self.free_at_most is not None and max(self.free_now, self.free_at_most) < 1


def room_in(region: Region) -> Room:
    """The room that `region` has, as far as it is known."""
    snapshot, reports = region.fresh_snapshot(), region.fresh_reports()
    if snapshot is None or reports is None:
        return Room(region.name, None, None)
    pool = region.settings.pool
    unserved = snapshot.waiting + snapshot.joining + region.on_the_way(snapshot)
    return Room(
        region.name,
        free_now=sum(r.free for r in reports.values()) - unserved,
        free_at_most=pool.max_workers * pool.slots - snapshot.live - unserved,
    )


def choose(rooms: Sequence[Room]) -> Room | None:
    """The region with the most free slots now, then at its maximum; unknown ones last. None when all are full."""
    able = [room for room in rooms if not room.full]
    if not able:
        return None
    return max(
        able, key=lambda r: (r.free_now is not None, (r.free_now or 0) > 0, r.free_now or 0, r.free_at_most or 0)
    )
