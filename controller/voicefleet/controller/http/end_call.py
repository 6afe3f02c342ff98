"""`DELETE /v1/calls/{room}`: a front end ends its own call, an operator any call of its regions."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from voicefleet.contract.call_events import EndReason
from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.http.auth.access import key_of, seen, wrong_region
from voicefleet.controller.http.auth.keys import Key, Role
from voicefleet.controller.http.auth.limits import Limiter
from voicefleet.controller.http.problems import problem
from voicefleet.controller.regions.region import Region
from voicefleet.controller.rooms.joins import key_in
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.connection import REDIS_FAILURES

log = get_logger(__name__)


class EndCall:
    """The route."""

    def __init__(self, regions: Mapping[str, Region], limiter: Limiter) -> None:
        self._regions = regions
        self._limiter = limiter

    def add_routes(self, app: web.Application) -> None:
        app.router.add_delete("/v1/calls/{room}", self.end)

    async def end(self, request: web.Request) -> web.Response:
        """204: the call has ended, and its ticket lets nobody in again. 404 where the key has no such call, whether or
        not there is one; 503 while nobody knows. `?region=` where rooms in several regions have the name."""
        key, room = key_of(request), request.match_info["room"]
        only = request.query.get("region")
        if only is not None and (refused := wrong_region(key, only, self._regions)):
            return refused
        try:
            found: dict[str, str] = {}
            for name, region in seen(self._regions, key, only).items():
                owner = await _owner(region, room)
                if owner is not None and (owner == key.name or key.may(Role.OPERATE)):
                    found[name] = owner
            if len(found) > 1:
                return problem(400, "calls in several regions have this name", field="region", hint="Add ?region=NAME.")
            for name, owner in found.items():
                await self._end(self._regions[name], room, owner, key)
                return web.Response(status=204)
        except (*REDIS_FAILURES, UnknownStateError):
            return problem(503, "the state is not reachable now", hint="Ask again.", retry_after_s=2)
        return problem(404, "this key has no such call", field="room", hint="See GET /v1/calls.")

    async def _end(self, region: Region, room: str, owner: str, key: Key) -> None:
        # First, so that nobody who is quick joins again before it is known.
        await region.calls.mark_ended(room)
        await region.dials.cancel(room)
        await region.calls.logs.note_reason(room, EndReason.REQUESTED)
        await region.livekit.delete_room(room)
        region.reservations.release(room)
        await self._limiter.release(owner, region.name, [room])
        log.info("call ended by request", region=region.name, room=room, key=key.name, owner=owner)


async def _owner(region: Region, room: str) -> str | None:
    """The key whose call it is; empty when it came without us, None when there is no such call."""
    if record := (await region.calls.records([room])).get(room):
        return record.key
    if region.surely_over(room):
        return None  # LiveKit is slow to answer for rooms that are not there
    there = await region.livekit.list_participants(room)
    if not any(p.caller for p in there) or not await region.ours(room, there):
        return None
    return key_in(there)
