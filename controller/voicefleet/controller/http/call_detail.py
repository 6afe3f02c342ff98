"""`GET /v1/calls/{room}`: one call, whole; while it lasts, and for days after its end."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from voicefleet.contract.call_events import CallState, CallSummary
from voicefleet.contract.call_log import summarize
from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.calls.dials import view_of
from voicefleet.controller.http.auth.access import key_of, seen, wrong_region
from voicefleet.controller.http.auth.keys import Role
from voicefleet.controller.http.problems import problem
from voicefleet.controller.http.reads import json_answer
from voicefleet.controller.regions.region import Region


class CallDetail:
    """The route."""

    def __init__(self, regions: Mapping[str, Region]) -> None:
        self._regions = regions

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/v1/calls/{room}", self.show)

    async def show(self, request: web.Request) -> web.Response:
        """200 with a `CallSummary`. 404 where the key has no such call, whether or not there is one; 503 while nobody
        knows. `?region=` where calls in several regions have the name."""
        key, room = key_of(request), request.match_info["room"]
        only = request.query.get("region")
        if only is not None and (refused := wrong_region(key, only, self._regions)):
            return refused
        pools = seen(self._regions, key, only).values()
        try:
            known = [call for region in pools if (call := await _known(region, room)) is not None]
            found = [call for call in known if key.may(Role.READ) or (call.key and call.key == key.name)]
            if len(found) > 1:
                return problem(400, "calls in several regions have this name", field="region", hint="Add ?region=NAME.")
            if found:
                return json_answer(found[0])
        except UnknownStateError:
            return problem(503, "the state is not reachable now", hint="Ask again.", retry_after_s=2)
        return problem(
            404,
            "this key has no such call",
            field="room",
            hint="See GET /v1/calls for those that there are, and GET /v1/past-calls for those that have ended.",
        )


async def _known(region: Region, room: str) -> CallSummary | None:
    """What is known of the newest call in `room`, or of the call with this id; one that was ordered and not joined
    has a record alone."""
    dial = await region.dials.get(room)
    view = None if dial is None else view_of(dial)
    if (log := await region.calls.archive.find(room)) is not None:
        return summarize(log, await region.calls.logs.now_ms()).model_copy(update={"dial": view})
    record = (await region.calls.records([room])).get(room) or (dial.call if dial is not None else None)
    if record is None:
        return None
    order = record.order
    return CallSummary(
        call="",
        room=room,
        region=region.name,
        state=CallState.ORDERED if dial is None or dial.active else CallState.ENDED,
        dial=view,
        tier=order.tier,
        language=order.language,
        key=record.key,
        placement=record.placement,
    )
