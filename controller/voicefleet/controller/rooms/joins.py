"""Callers that join are counted as calls of the API key whose ticket they have.

The ticket says whose it is (a participant attribute that a caller cannot change), so a call is counted, and gets a
record again, when Redis knows nothing of it. A room is ended only where it was over before and was opened again with
its old ticket: if its call was ended on purpose, or its key has all the calls by now that it may have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from enum import StrEnum

from voicefleet.contract.call_events import EndReason
from voicefleet.contract.calls import CallRecord, DispatchMetadata
from voicefleet.contract.errors import Dependency, UnknownStateError
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.controller.http.auth.limits import Limiter
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.ports import Participant
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.connection import REDIS_FAILURES

_AT_ONCE = 32

log = get_logger(__name__)


def key_in(there: Iterable[Participant]) -> str:
    """The API key whose ticket a caller of a room has; empty when no caller has one."""
    return next((p.key for p in there if p.caller and p.key), "")


class Refusal(StrEnum):
    """Why a room that a caller opened again is ended."""

    ENDED = "ended"
    """The call was ended by `DELETE /v1/calls/{room}`."""
    OVER_LIMIT = "over_limit"
    """The key has as many calls as it may."""


class JoinCounter:
    """Counts the callers that webhooks and listings find."""

    def __init__(
        self, regions: Mapping[str, Region], limiter: Limiter, metrics: Metrics, *, max_duration_s: float
    ) -> None:
        self._regions = regions
        self._limiter = limiter
        self._metrics = metrics
        self._max_duration_s = max_duration_s

    def gone(self, region: str, room: str) -> bool:
        """Whether the call in `room` is surely over; so are those of regions that there are no more."""
        return region not in self._regions or self._regions[region].surely_over(room)

    async def look(self, region: Region, rooms: Mapping[str, str | None]) -> None:
        """Callers are in `rooms`.

        Args:
            rooms: room -> the key that its caller's ticket names; empty: none, None: nobody looked.

        Raises:
            UnknownStateError: some could not be counted; the others were. To look again changes nothing for those.
        """
        if not rooms:
            return
        failed: list[BaseException] = []
        names = list(rooms)
        records, ended = await region.calls.records(names), await region.calls.ended_rooms(names)
        for start in range(0, len(names), _AT_ONCE):
            part = names[start : start + _AT_ONCE]
            counts = (self._count(region, room, rooms[room], records.get(room), room in ended) for room in part)
            failed += [e for e in await asyncio.gather(*counts, return_exceptions=True) if e is not None]
        if failed:
            raise failed[0]

    async def _count(self, region: Region, room: str, key: str | None, record: CallRecord | None, ended: bool) -> None:
        if ended:
            await self._end(region, room, Refusal.ENDED, record.key if record else "")
            return
        record = record or await self._recorded(region, room, key)
        if record is None or not record.key:
            return  # it came without us
        try:
            allowed = await self._limiter.confirm(record.key, region.name, room, self.gone)
        except REDIS_FAILURES as error:
            text = f"Redis did not count a call ({type(error).__name__})"
            raise UnknownStateError(text, dependency=Dependency.REDIS) from error
        if not allowed:
            await self._end(region, room, Refusal.OVER_LIMIT, record.key)

    async def _recorded(self, region: Region, room: str, key: str | None) -> CallRecord | None:
        """A record for a caller whose ticket is one of ours, made anew. None: it came without us."""
        if key is None:
            key = key_in(await region.livekit.list_participants(room))
        if not key:
            return None
        orders = await region.livekit.dispatch_metadata(room)
        first = DispatchMetadata.decode(orders[0]) if orders else DispatchMetadata()
        record = CallRecord(
            room=room,
            region=region.name,
            order=first.order,
            caller=first.caller,
            key=key,
            max_duration_s=self._max_duration_s,
        )
        await region.calls.save_record(record)
        return record

    async def _end(self, region: Region, room: str, why: Refusal, key: str) -> None:
        log.warning("call refused at the join", region=region.name, room=room, reason=why.value, key=key)
        self._metrics.counters[catalogue.JOINS_REFUSED].labels(region.name, why.value).inc()
        await region.calls.logs.note_reason(room, EndReason.REFUSED)
        await region.livekit.delete_room(room)
