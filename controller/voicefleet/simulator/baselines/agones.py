"""Agones' FleetAutoscaler on the counter of a game server: free capacity of B, every 30 s.

Modelled after agones v1.5x, pkg/fleetautoscalers/fleetautoscalers.go (`applyCounterOrListPolicy`, `scaleUp`,
`scaleDown`): available = capacity of all servers, pending ones included, less the count; up by ceil((B - available)/K);
down by taking servers off one by one while at least B stay available. Servers with a call are allocated, and an
allocated server is never deleted (pkg/gameserversets); at most 64 are created or deleted in one go.
"""

from __future__ import annotations

import math

from voicefleet.simulator.baselines.base import View

SYNC_S = 30.0
BATCH = 64


class CounterBuffer:
    """Args: buffer: free slots to keep."""

    name = "agones"
    every_s = SYNC_S
    idle_only = True

    def __init__(self, buffer: int) -> None:
        self._buffer = buffer

    def decide(self, now_s: float, view: View) -> int | None:
        if view.error:
            return None
        capacity = view.replicas * view.slots
        available = capacity - view.served - view.waiting
        if available < self._buffer:
            more = math.ceil((self._buffer - available) / view.slots)
            return view.replicas + min(more, BATCH)
        # Each server taken off, idle ones first, takes its K slots along; the last one that would undercut B stays.
        fewer = (available - self._buffer) // view.slots
        return max(1, view.replicas - min(fewer, BATCH))
