"""`POST /v1/calls/{room}/ticket`: a page that reloads, or a second tab, gets a ticket for the call that it has.

A ticket lets its caller join for a minute; whoever must join again later needs another one for the same room. The same
identity replaces itself in the room, and finds its conversation.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from aiohttp import web

from voicefleet.contract.api import CallTicket, RejoinRequest
from voicefleet.contract.calls import DispatchMetadata
from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.http.auth.access import key_of, seen, wrong_region
from voicefleet.controller.http.problems import posted, problem
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.redis.connection import REDIS_FAILURES


class Rejoin:
    """The route."""

    def __init__(self, regions: Mapping[str, Region]) -> None:
        self._regions = regions

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/calls/{room}/ticket", self.ticket)

    async def ticket(self, request: web.Request) -> web.Response:
        """201 with a ticket. 404 where the key has no such call, or it is over; 503 while nobody knows."""
        key, room = key_of(request), request.match_info["room"]
        wanted = await posted(request, RejoinRequest)
        if isinstance(wanted, web.Response):
            return wanted
        if wanted.region is not None and (refused := wrong_region(key, wanted.region, self._regions)):
            return refused
        try:
            for region in seen(self._regions, key, wanted.region).values():
                record = (await region.calls.records([room])).get(room)
                ended = room in await region.calls.ended_rooms([room])
                over = ended or (region.surely_over(room) and room not in region.reservations.rooms)
                if record is None or record.key != key.name or over:
                    continue
                identity = wanted.identity or f"caller-{secrets.token_hex(4)}"
                order = DispatchMetadata(record.order, caller=record.caller or identity).encode()
                ticket = CallTicket(
                    url=region.settings.livekit.url,
                    token=region.livekit.mint(room, identity, order, key=key.name, data=wanted.data),
                    room=room,
                    region=region.place,
                    identity=identity,
                    agent=region.settings.place.agent,
                    version=region.settings.place.version,
                )
                return web.Response(
                    text=ticket.model_dump_json(exclude_defaults=True), status=201, content_type="application/json"
                )
        except (*REDIS_FAILURES, UnknownStateError):
            return problem(503, "the state is not reachable now", hint="Ask again.", retry_after_s=2)
        return problem(404, "this key has no such call", field="room", hint="Ask POST /v1/calls for a new one.")
