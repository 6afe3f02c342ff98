"""LiveKit's rooms, listed every few seconds: the truth about callers, whatever became of the webhooks."""

from __future__ import annotations

import asyncio

from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.calls import Call, Snapshot
from voicefleet.controller.joins import Joins, key_in
from voicefleet.controller.ports import Participant, Room
from voicefleet.controller.region import Region
from voicefleet.runtime.logs import get_logger

_PARALLEL = 8
_CLOCK_SLACK_MS = 1_000
_FOREIGN_S = 10.0

log = get_logger(__name__)


class Lister:
    """Lists one region.

    Args:
        joins: counts the callers that a listing finds.
        every_s: seconds between two listings.
        max_duration_s: bound of a call that came without us; 0 for none.
    """

    def __init__(self, region: Region, joins: Joins, *, every_s: float, max_duration_s: float) -> None:
        self._region = region
        self._joins = joins
        self._every_s = every_s
        self._max_duration_s = max_duration_s
        self._began_ms: int | None = None
        self._bounds: dict[tuple[str, int], float] = {}
        self._foreign: dict[str, float] = {}
        self._tickets: dict[str, str] = {}
        """Room that the last listing found -> the key that its caller's ticket names."""
        self._counted: dict[str, str] = {}
        """Room of a call -> sid of the room when its caller was counted."""

    async def run(self) -> None:
        """List until cancelled."""
        while True:
            await self.once()
            await self._region.clock.sleep(self._every_s)

    async def once(self) -> None:
        """One listing, taken over whole or not at all: what cannot be listed is unknown, not empty."""
        region = self._region
        try:
            before = await region.scan()
            rooms = await region.livekit.list_rooms()
            here, empty = await self._callers(before, rooms)
            names = {room.name for room in rooms}
            gone = [c.room for c in before.calls if c.room not in names]
            taken_out = await region.calls.listed(before.now_ms, here, [*gone, *empty])
            # Nobody said that they are over; LiveKit may have restarted, and the callers come back.
            await region.calls.vanished(set(gone).intersection(taken_out))
            region.listed_at_s, region.listed_rooms = region.clock.monotonic(), frozenset(names)
            self._began_ms = before.now_ms
            await region.scan()
        except UnknownStateError as error:
            region.failed("listing", error)
            return
        region.worked("listing")
        await self._count({call.room for call in before.calls}, {room for room, _ in here}, rooms)
        await self._end_overlong()

    async def _count(self, known: set[str], here: set[str], rooms: tuple[Room, ...]) -> None:
        """Have the joins of new calls counted, and of those whose room is another one: a name may recur, and with it an
        old ticket."""
        region, before = self._region, self._counted
        sids = {room.name: room.sid for room in rooms if room.name in known or room.name in here}
        new = {
            room: self._tickets.get(room) if room in here else None
            for room, sid in sids.items()
            if room in here or before.get(room, sid) != sid
        }
        try:
            await self._joins.look(region, new)
        except UnknownStateError as error:
            region.failed("joins", error)
            return
        region.worked("joins")
        self._counted = sids

    async def _callers(self, before: Snapshot, rooms: tuple[Room, ...]) -> tuple[list[tuple[str, int]], list[str]]:
        """Callers new to us with the time they joined, and rooms without any."""
        known = {call.room: call for call in before.calls}
        sids = {room.name: room.sid for room in rooms}
        for sid in self._foreign.keys() - set(sids.values()):
            del self._foreign[sid]
        # Who is in a room with a claim, the worker there knows better; it gives the claim back when all are gone.
        unsure = [
            room.name
            for room in rooms
            if ((call := known.get(room.name)) is None and not self._foreign_for_now(room)) or (call and not call.claim)
        ]
        self._tickets.clear()
        here: list[tuple[str, int]] = []
        empty: list[str] = []
        for start in range(0, len(unsure), _PARALLEL):
            part = unsure[start : start + _PARALLEL]
            lists = await asyncio.gather(*(self._region.livekit.list_participants(name) for name in part))
            with_callers = {name: callers for name, there in zip(part, lists, strict=True) if (callers := _in(there))}
            empty += [name for name in part if name not in with_callers]
            new = [name for name in with_callers if name not in known]
            self._tickets.update({name: key_in(with_callers[name]) for name in new})
            ours = await asyncio.gather(*(self._ours(name, sids[name]) for name in new))
            here += [(name, self._joined_ms(with_callers[name])) for name, yes in zip(new, ours, strict=True) if yes]
        return here, empty

    async def _ours(self, name: str, sid: str) -> bool:
        try:
            ours = await self._region.ours(name)
        except UnknownStateError as error:
            # LiveKit answers so for a room that just ended, too: no reason to give up the whole listing.
            log.info("room left for the next listing", region=self._region.name, room=name, error=str(error))
            return False
        if not ours:
            self._foreign[sid] = self._region.clock.monotonic() + _FOREIGN_S
        return ours

    def _foreign_for_now(self, room: Room) -> bool:
        """It was somebody else's a moment ago; an agent may still be ordered for it later."""
        return self._foreign.get(room.sid, 0.0) > self._region.clock.monotonic()

    def _joined_ms(self, callers: list[Participant]) -> int:
        """When the first of `callers` joined, on Redis's clock.

        LiveKit's clock may differ from Redis's: a caller whom the last listing did not see joined after it. The
        script moves a time in the future to now.
        """
        joined_ms = min(p.joined_ms for p in callers)
        return joined_ms if self._began_ms is None else max(joined_ms, self._began_ms - _CLOCK_SLACK_MS)

    async def _end_overlong(self) -> None:
        """End calls that lasted as long as they may."""
        region = self._region
        snapshot = region.snapshot
        if snapshot is None:
            return
        try:
            await self._learn_bounds(snapshot)
            for call in snapshot.calls:
                bound_s = self._bounds.get((call.room, call.joined_ms), 0.0)
                lasted_s = (snapshot.now_ms - call.joined_ms) / 1000
                if bound_s and lasted_s > bound_s:
                    await region.livekit.delete_room(call.room)
                    log.info("call ended at its longest duration", region=region.name, room=call.room, bound_s=bound_s)
        except UnknownStateError as error:
            region.failed("durations", error)
            return
        region.worked("durations")

    async def _learn_bounds(self, snapshot: Snapshot) -> None:
        new: list[Call] = [call for call in snapshot.calls if (call.room, call.joined_ms) not in self._bounds]
        if len(self._bounds) + len(new) > len(snapshot.calls):
            here = {(call.room, call.joined_ms) for call in snapshot.calls}
            for key in self._bounds.keys() - here:
                del self._bounds[key]
        records = await self._region.calls.records([call.room for call in new])
        for call in new:
            record = records.get(call.room)
            self._bounds[call.room, call.joined_ms] = record.max_duration_s if record else self._max_duration_s


def _in(there: tuple[Participant, ...]) -> list[Participant]:
    return [p for p in there if p.caller]
