"""What LiveKit showed of one region: its rooms, and that it does not reach a worker."""

from __future__ import annotations

from dataclasses import dataclass

from voicefleet.contract.reports import STALE_AFTER_S

LISTING_S = 4.0
"""A listing takes so long at the most: `rooms.listing.LOOK_S` and a request."""

CUT_OFF_S = 20.0
"""LiveKit drops a worker whose connection says nothing for about as long."""


@dataclass(frozen=True, slots=True)
class ListedRooms:
    """The rooms that were last listed. Only writer: `rooms.listing`."""

    rooms: frozenset[str] | None = None
    """LiveKit's rooms, callers in them or not; None before the first listing."""
    at_s: float = 0.0
    """When they were taken over whole."""
    scan_failures: int = 0
    """`CallScans.failures` then."""
    every_s: float = 0.0
    """From one listing to the next, seconds."""

    def holds(self, now_s: float, scan_failures: int) -> bool:
        """Whether the calls in Redis follow from this listing. One listing may fail before they do not: a region that
        lists seldom is no less known in between. What Redis holds after an outage may be less than there is: that
        waits for the next whole listing."""
        held_s = max(STALE_AFTER_S, 2 * self.every_s + LISTING_S)
        return self.rooms is not None and now_s - self.at_s <= held_s and scan_failures == self.scan_failures


@dataclass(frozen=True, slots=True)
class CutOff:
    """When a call was last taken from a worker that LiveKit does not reach. Only writer: `calls.recovery`."""

    at_s: float | None = None

    def lately(self, now_s: float) -> bool:
        return self.at_s is not None and now_s - self.at_s < CUT_OFF_S
