"""`POST /v1/rooms/{room}/agent` and `POST /v1/calls/{room}/agent`: a front end or an operator asks for an agent, in a
room that it made itself, or in a call whose agent left on purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiohttp import web

from voicefleet.contract.api import AgentRequest, AgentRequested
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.pools import PoolRole
from voicefleet.controller.calls.agent_requests import request_agent
from voicefleet.controller.http.auth.access import key_of, seen, wrong_region
from voicefleet.controller.http.auth.keys import Key, Role
from voicefleet.controller.http.problems import posted, problem, unknown_choice
from voicefleet.controller.regions.region import Region
from voicefleet.controller.regions.routing import UnknownChoiceError, pools_for
from voicefleet.controller.rooms.joins import key_in
from voicefleet.runtime.logs.setup import get_logger

log = get_logger(__name__)


class RoomAgents:
    """The routes. They differ in name alone: a call is a room with a caller.

    Args:
        residency: API key -> the residency group that its calls never leave: rooms elsewhere are none of its.
    """

    def __init__(self, regions: Mapping[str, Region], residency: Mapping[str, str]) -> None:
        self._regions = regions
        self._residency = residency

    def add_routes(self, app: web.Application) -> None:
        for what in ("rooms", "calls"):
            app.router.add_post(f"/v1/{what}/{{room}}/agent", self.request)

    async def request(self, request: web.Request) -> web.Response:
        """202: an agent comes as soon as a slot is free, or is there. 404 where there is no such room, or its call is
        another key's; 400 where rooms in several regions have the name; 503 while nobody knows."""
        key, room = key_of(request), request.match_info["room"]
        wanted = await posted(request, AgentRequest)
        if isinstance(wanted, web.Response):
            return wanted
        if wanted.region is not None and (refused := wrong_region(key, wanted.region, self._regions)):
            return refused
        group = self._residency.get(key.name, "")
        try:
            there = [
                region
                for region in seen(self._regions, key, wanted.region).values()
                if (not group or region.settings.residency == group) and await _may_order(key, region, room)
            ]
            found = await _serving(there, room, wanted, key)
            if len({region.place for region in found}) > 1:
                return problem(400, "rooms in several regions have this name", field="region", hint="Add its region.")
            for region in found[:1]:
                state = await request_agent(region, room, wanted.order())
                log.info("agent requested for a room", region=region.name, room=room, key=key.name, state=state)
                view = AgentRequested(room=room, region=region.name, state=state)
                return web.json_response(view.model_dump(mode="json"), status=202)
        except UnknownChoiceError as error:
            return unknown_choice(error)
        except UnknownStateError:
            return problem(503, "the state is not reachable now", hint="Ask again.", retry_after_s=2)
        return problem(
            404, "there is no such room", field="room", hint="Create it first, or ask POST /v1/calls for a call."
        )


async def _serving(there: Sequence[Region], room: str, wanted: AgentRequest, key: Key) -> list[Region]:
    """Of the pools whose server has `room`, those that are to serve it: the one that has its call already, else the
    stable version of the agent that is asked for."""
    if wanted.agent is None:
        having = [region for region in there if await region.calls.claim(room) or await region.calls.records([room])]
        if having or all(not region.settings.place.agent for region in there):
            return having or list(there)
    pools = pools_for(there, wanted.agent, wanted.tier, key.name)
    return [pool for pool in pools if pool.settings.role is PoolRole.STABLE]


async def _may_order(key: Key, region: Region, room: str) -> bool:
    """Whether `room` is there, and its call not another key's; an operator may order for any."""
    if not await region.livekit.sid_of(room):
        return False
    if key.may(Role.OPERATE):
        return True
    record = (await region.calls.records([room])).get(room)
    owner = record.key if record else key_in(await region.livekit.list_participants(room))
    return owner in ("", key.name)
