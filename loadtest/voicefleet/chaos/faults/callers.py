"""What callers do to a fleet: pages that reload in the middle of a conversation."""

from __future__ import annotations

import asyncio

from voicefleet.chaos.fault_context import FaultContext

AWAY_S = 2.0
"""A page that reloads is back after 1 to 3 s."""


async def page_reload(context: FaultContext) -> None:
    """Half the callers leave in order and are back 2 s later, as pages that reload do; each finds the same agent."""
    rooms = context.callers.rooms
    reloading = rooms[: max(1, len(rooms) // 2)]
    before = {call.room: call.epoch for call in await context.client.calls()}
    context.mark_injection()
    await asyncio.gather(*(context.callers.reload(room, AWAY_S) for room in reloading))
    after = {call.room: call.epoch for call in await context.client.calls()}
    moved = sum(after.get(room) != before.get(room) for room in reloading)
    if moved:
        context.problem(f"{moved} of {len(reloading)} callers did not find the job that had their call")
