"""Dispatch during an outage of Redis: callers without an agent are found and served from LiveKit alone.

Without Redis there are no claims, no queue and no counts of free slots, so an agent in the room is all that tells a
served call. Workers accept such a call unclaimed, and a job that finds another agent in its room leaves. It ends as
soon as Redis answers: the jobs' renewals bring the claims back.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.contract.rooms import served_by_name
from voicefleet.controller.calls.dispatch import FAST_ATTEMPTS
from voicefleet.controller.calls.dispatch_requests import orders_in, redispatch_metadata
from voicefleet.controller.ports import Room
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.logs.setup import get_logger

OUTAGE_AFTER_S = 1.5
"""Redis away for longer than this: the outage dispatcher begins to look."""
LOOK_EVERY_S = 0.5
ALONE_S = 1.0
"""LiveKit's own dispatch at a room's creation takes less."""
AGAIN_S = 2.0
LATER_S = 4.0
_PARALLEL = 8

log = get_logger(__name__)


@dataclass(slots=True)
class _Alone:
    """A caller without an agent."""

    since_s: float
    orders: int = 0
    """Dispatches in the room when last looked at; another replica makes them too."""
    made: int = 0
    next_s: float = 0.0


class OutageDispatcher:
    """Serves the callers of one region while Redis is away."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._alone: dict[str, _Alone] = {}
        self._foreign: set[str] = set()
        self._at_once = asyncio.Semaphore(_PARALLEL)

    async def run(self) -> None:
        """Look until cancelled."""
        clock = self._region.clock
        while True:
            await clock.sleep(LOOK_EVERY_S)
            if self._region.redis.away_for_s(clock.monotonic()) >= OUTAGE_AFTER_S:
                await self.once()
            else:
                self._alone.clear()
                self._foreign.clear()

    async def once(self) -> None:
        """One look at every room."""
        region = self._region
        try:
            rooms = await region.livekit.list_rooms()
        except UnknownStateError as error:
            log.warning("rooms not listed during an outage of Redis", region=region.name, error=str(error))
            return
        for name in self._alone.keys() - {room.name for room in rooms}:
            del self._alone[name]
        # What was released before the outage stays so.
        last = region.scans.snapshot
        aside = {call.room for call in last.calls if call.aside is not None} if last is not None else set()
        able = (room for room in rooms if room.sid not in self._foreign and room.name not in aside)
        await asyncio.gather(*(self._look(room) for room in able))

    async def _look(self, room: Room) -> None:
        region = self._region
        async with self._at_once:
            # A room that cannot be looked at now is looked at in a second.
            with contextlib.suppress(UnknownStateError):
                there = await region.livekit.list_participants(room.name)
                if any(p.serves or p.neighbour for p in there) or not any(p.caller for p in there):
                    self._alone.pop(room.name, None)
                    return
                now_s = region.clock.monotonic()
                alone = self._alone.setdefault(room.name, _Alone(now_s, next_s=now_s + ALONE_S))
                if now_s >= alone.next_s:
                    await self._serve(room, alone, with_ticket=any(p.caller and p.key for p in there))

    async def _serve(self, room: Room, alone: _Alone, *, with_ticket: bool) -> None:
        region = self._region
        orders = await orders_in(region, room.name)
        if not orders and not with_ticket and not served_by_name(region.settings.rooms, room.name):
            self._foreign.add(room.sid)
            return
        now_s = region.clock.monotonic()
        if alone.orders and len(orders) > alone.orders:
            # Another replica was faster: give its agent the time to come.
            alone.orders, alone.next_s = len(orders), now_s + AGAIN_S
            return
        alone.made += 1
        metadata = redispatch_metadata(orders, alone.made)
        await region.livekit.create_dispatch(room.name, metadata.encode())
        alone.orders = len(orders) + 1
        alone.next_s = now_s + (AGAIN_S if alone.made < FAST_ATTEMPTS else LATER_S)
        region.metrics.counters[catalogue.OUTAGE_DISPATCHES].labels(region.name).inc()
        log.warning("Redis is away, call dispatched by what LiveKit shows", region=region.name, room=room.name)
