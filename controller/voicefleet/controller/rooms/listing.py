"""LiveKit's rooms, listed every few seconds: the truth about callers, whatever became of the webhooks.

Which rooms there are is one request. Who is in them is one request each, so only rooms of which that is not sure are
asked about, bounded in number and time. N new rooms are found within ``ceil(N / ROOMS_A_TURN)`` turns, of `every_s` +
`LOOK_S` and a request each at the most; the rooms of W waiting calls come after them in rotation, so that a caller who
left without a webhook is found within ``ceil(W / ROOMS_A_TURN)`` turns. No agent is sent to them meanwhile: the
dispatcher asks before each dispatch. A LiveKit that takes r seconds to answer is asked about ``_PARALLEL * LOOK_S / r``
rooms a turn at the most, and the turns are as many more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from voicefleet.contract.aside import Why
from voicefleet.contract.call_events import EndReason
from voicefleet.contract.errors import Dependency, UnknownStateError
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.controller.calls.expected import expected_since
from voicefleet.controller.calls.released import asked_again
from voicefleet.controller.calls.snapshots import Call, Snapshot
from voicefleet.controller.ports import Participant, Room
from voicefleet.controller.regions.livekit_view import ListedRooms
from voicefleet.controller.regions.region import Region
from voicefleet.controller.rooms.joins import JoinCounter, key_in
from voicefleet.controller.rooms.neighbours import note_neighbours
from voicefleet.controller.rooms.rotation import Rotation
from voicefleet.runtime.logs.setup import get_logger

ROOMS_A_TURN = 500
LOOK_S = 2.0
"""No further room is asked about after this; those asked answer within the time-out of a request."""
_PARALLEL = 32
_AT_ONCE = 500
_CLOCK_SLACK_MS = 1_000

log = get_logger(__name__)

_T = TypeVar("_T")


@dataclass
class _Found:
    """What one turn found: (room, joined_ms, room_sid) of callers new to us, their rooms with the key that the caller's
    ticket names (empty: none), (room, since_ms) of those whose caller is still to come, rooms without any caller, and
    the last error."""

    here: list[tuple[str, int, str]] = field(default_factory=list)
    tickets: dict[str, str] = field(default_factory=dict)
    expected: list[tuple[str, int]] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    error: str = ""


class RoomLister:
    """Lists one region.

    Args:
        joins: counts the callers that a listing finds.
        every_s: seconds between two listings.
        max_duration_s: bound of a call that came without us; 0 for none.
    """

    def __init__(self, region: Region, joins: JoinCounter, *, every_s: float, max_duration_s: float) -> None:
        self._region = region
        self._joins = joins
        self._every_s = every_s
        self._max_duration_s = max_duration_s
        self._began_ms: int | None = None
        self._bounds: dict[tuple[str, int], float] = {}
        self._rotation = Rotation()
        self._logged_unknown = False
        self._counted: dict[str, str] = {}
        """Room of a call -> sid of the room when its caller was counted."""

    async def run(self) -> None:
        """List until cancelled."""
        while True:
            await self.once()
            await self._region.clock.sleep(self._every_s)

    async def once(self) -> None:
        """One listing. What cannot be listed is unknown, not empty: a room alone keeps its call as it was; the whole
        counts as listed unless most rooms fail, or some were never looked at."""
        region = self._region
        try:
            before = await region.scans.scan()
            rooms = await region.livekit.list_rooms()
            self._rotation.take_over(rooms, self._began_ms)
            names = {room.name for room in rooms}
            gone = [c.room for c in before.calls if c.room not in names]
            taken_out = await self._take_over(before, [], gone)
            # Nobody said that they are over; LiveKit may have restarted, and the callers come back.
            lost = set(gone).intersection(taken_out)
            await region.calls.shorten_conversation_ttl(lost)
            for room in lost:
                await region.calls.logs.note_reason(room, EndReason.ROOM_LOST, over=True)
            await self._look(before, rooms)
            now_s = region.clock.monotonic()
            region.listed = ListedRooms(frozenset(names), now_s, region.scans.failures, self._every_s)
            self._began_ms = before.now_ms
            await region.scans.scan()
        except UnknownStateError as error:
            region.reads.failed("listing", error)
            return
        region.reads.succeeded("listing")
        await self._end_overlong()

    async def _count(self, known: set[str], tickets: Mapping[str, str], rooms: Sequence[Room]) -> None:
        """Have the joins of new calls counted, and of those whose room is another one: a name may recur, and with it an
        old ticket. `tickets`: room of a new call -> the key that its caller's ticket names."""
        region, before = self._region, self._counted
        sids = {room.name: room.sid for room in rooms if room.name in known or room.name in tickets}
        new = {room: tickets.get(room) for room, sid in sids.items() if room in tickets or before.get(room, sid) != sid}
        try:
            await self._joins.look(region, new)
        except UnknownStateError as error:
            region.reads.failed("joins", error)
            return
        region.reads.succeeded("joins")
        self._counted = sids

    async def _take_over(
        self, before: Snapshot, here: Sequence[tuple[str, int, str]], gone: Sequence[str]
    ) -> list[str]:
        """Callers found and rooms without any into the books, some at a time; the rooms that were taken out."""
        calls, out = self._region.calls, []
        for some in _parts(here):
            await calls.apply_listing(before.now_ms, some, [])
        for names in _parts(gone):
            out += await calls.apply_listing(before.now_ms, [], names)
        return out

    async def _look(self, before: Snapshot, rooms: Sequence[Room]) -> None:
        """Ask who is in the rooms whose turn it is. Raises `UnknownStateError` when too little is known after that."""
        region, rotation = self._region, self._rotation
        now_s = region.clock.monotonic()
        known = {call.room: call for call in before.calls}
        # Who is in a room with a claim, the worker there knows better; it gives the claim back when all are gone.
        unsure = [
            room
            for room in rooms
            if ((call := known.get(room.name)) is None and not rotation.foreign(room, now_s))
            or (call is not None and not call.claim)
        ]
        due = rotation.due(unsure, known.keys(), now_s, ROOMS_A_TURN)
        expected = await region.calls.expected()
        found = await self._ask(due, before, known, expected)
        await self._take_over(before, found.here, found.empty)
        if found.expected:
            await region.calls.expect(found.expected)
        if new := [room for room, _ in found.expected if room not in expected]:
            log.info("rooms with an order and nobody in them wait for an agent", region=region.name, rooms=len(new))
        await self._count({call.room for call in before.calls}, found.tickets, rooms)
        unknown = rotation.unknown
        region.metrics.gauges[catalogue.ROOMS_UNKNOWN].labels(region.name).set(unknown)
        self._log_unknown(unknown, found.error)
        if rotation.too_many_unknown:
            text = f"who is in {unknown} of {len(unsure)} rooms cannot be told: {found.error}"
            raise UnknownStateError(text, dependency=Dependency.LIVEKIT)
        # Webhooks told of some meanwhile.
        snapshot = region.scans.snapshot
        if unseen := rotation.unseen(snapshot.rooms if snapshot else (), unsure):
            raise UnknownStateError(f"{unseen} new rooms are still to be looked at")

    async def _ask(
        self, due: Sequence[Room], before: Snapshot, known: Mapping[str, Call], expected: Collection[str]
    ) -> _Found:
        """Some at once, until all are asked or the time is over."""
        clock, found, left = self._region.clock, _Found(), deque(due)
        until_s = clock.monotonic() + LOOK_S

        async def work() -> None:
            while left and clock.monotonic() < until_s:
                room = left.popleft()
                try:
                    # Known is a call whose caller was seen: of the others, every look may find that it has come.
                    call = known.get(room.name) if room.name not in expected else None
                    await self._ask_about(room, found, before.now_ms, call)
                except UnknownStateError as error:
                    self._rotation.failed(room, clock.monotonic())
                    found.error = f"{room.name}: {error}"

        await asyncio.gather(*(work() for _ in range(min(_PARALLEL, len(due)))))
        return found

    async def _ask_about(self, room: Room, found: _Found, began_ms: int, call: Call | None) -> None:
        region = self._region
        there = await region.livekit.list_participants(room.name)
        callers, foreign = [p for p in there if p.caller], False
        if not callers:
            visited_ms = self._rotation.visited_ms(room)
            since_ms = None
            if call is None:
                since_ms = await expected_since(region, room.name, there, visited_ms=visited_ms)
            if since_ms is None:
                found.empty.append(room.name)
            else:
                found.expected.append((room.name, since_ms))
        elif call is None:
            foreign = not await region.ours(room.name, there, listed=room)
            if not foreign:
                found.here.append((room.name, self._joined_ms(room, callers), room.sid))
                found.tickets[room.name] = key_in(callers)
        elif call.aside is not None and call.aside.room_sid not in ("", room.sid):
            found.here.append((room.name, self._joined_ms(room, callers), room.sid))  # another room, and another call
        elif call.aside is not None and await asked_again(region, room.name, call.aside):
            await region.calls.want_agent(room.name)
            region.wake.set()
        await note_neighbours(
            region, room.name, room.sid, there, marked=call is not None and call.state == Why.NEIGHBOUR
        )
        self._rotation.looked(room, region.clock.monotonic(), began_ms, foreign=foreign, visited=bool(callers))

    def _joined_ms(self, room: Room, callers: list[Participant]) -> int:
        """When the first of `callers` joined, on Redis's clock.

        LiveKit's clock may differ from Redis's: a caller in a room that a listing did not show joined after it. The
        script moves a time in the future to now.
        """
        joined_ms = min(p.joined_ms for p in callers)
        since_ms = self._rotation.since_ms(room)
        return joined_ms if since_ms is None else max(joined_ms, since_ms - _CLOCK_SLACK_MS)

    def _log_unknown(self, unknown: int, error: str) -> None:
        """Once, until all rooms can be listed again."""
        name = self._region.name
        if unknown and not self._logged_unknown:
            log.warning("rooms that cannot be listed are left as they were", region=name, rooms=unknown, error=error)
        elif self._logged_unknown and not unknown:
            log.info("every room can be listed again", region=name)
        self._logged_unknown = bool(unknown)

    async def _end_overlong(self) -> None:
        """End calls that lasted as long as they may. One that cannot be ended does not keep the others."""
        region = self._region
        snapshot = region.scans.snapshot
        if snapshot is None:
            return
        trouble: UnknownStateError | None = None
        try:
            await self._learn_bounds(snapshot)
        except UnknownStateError as error:
            trouble = error
        for call in snapshot.calls:
            if call.aside is not None:
                continue  # the bound is of an agent's time: a person may speak to the caller as long as they like
            bound_s = self._bounds.get((call.room, call.joined_ms), 0.0)
            lasted_s = (snapshot.now_ms - call.joined_ms) / 1000
            if not bound_s or lasted_s <= bound_s:
                continue
            try:
                await region.calls.logs.note_reason(call.room, EndReason.MAX_DURATION)
                await region.livekit.delete_room(call.room)
            except UnknownStateError as error:
                trouble = error
                continue
            log.info("call ended at its longest duration", region=region.name, room=call.room, bound_s=bound_s)
        if trouble is not None:
            region.reads.failed("durations", trouble)
        else:
            region.reads.succeeded("durations")

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


def _parts(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
