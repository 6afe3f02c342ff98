"""A LiveKit that is played: a real HTTP server that speaks the part of LiveKit's API that the controller asks, for more
callers than a real one could have here. It takes its time, and some rooms, or all, may not be answered for.

``python -m support.played_livekit PORT DELAY_S`` is one in a process of its own, so that its cost is not the
controller's. Callers join by ``POST /callers`` with a JSON list of rooms. It prints ``ready``, and runs until its input
ends; then it prints when each room was first dispatched to, on the machine's monotonic clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import web
from google.protobuf.message import Message
from livekit import api
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.models import Room as RoomProto

AGENT_NAME = "voicefleet"


@dataclass
class PlayedLiveKit:
    """Rooms with one caller each; change them while it runs."""

    delay_s: float = 0.0
    joined_ms: dict[str, int] = field(default_factory=dict)
    """Room -> when its caller joined; 0: its caller has left."""
    broken: set[str] = field(default_factory=set)
    """Rooms whose participants are not told."""
    away: bool = False
    """Nothing is told."""
    url: str = ""
    http_url: str = ""
    api_key: str = "played"
    api_secret: str = "a-secret-of-the-played-livekit-0001"
    dispatched_s: dict[str, float] = field(default_factory=dict)
    """Room -> when it was first dispatched to."""
    asked: dict[str, int] = field(default_factory=dict)
    """Room -> how often its participants were asked for."""
    most_at_once: int = 0
    _at_once: int = 0

    def call(self, *names: str) -> None:
        """Callers join."""
        self.joined_ms |= dict.fromkeys(names, round(time.time() * 1000))

    async def join(self, request: web.Request) -> web.Response:
        self.call(*await request.json())
        return web.json_response({})

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self._at_once -= 1
        if self.away:
            return _error(503, "unavailable")
        match request.match_info["method"]:
            case "RoomService/ListRooms":
                rooms = [RoomProto(name=name, sid=f"RM_{name}") for name in self.joined_ms]
                return _said(api.ListRoomsResponse(rooms=rooms))
            case "RoomService/ListParticipants":
                return self._participants(api.ListParticipantsRequest.FromString(body).room)
            case "AgentDispatchService/ListDispatch":
                dispatch = api.AgentDispatch(id="AD_1", agent_name=AGENT_NAME)
                return _said(api.ListAgentDispatchResponse(agent_dispatches=[dispatch]))
            case "AgentDispatchService/CreateDispatch":
                room = api.CreateAgentDispatchRequest.FromString(body).room
                self.dispatched_s.setdefault(room, time.monotonic())
                return _said(api.AgentDispatch(id="AD_2", room=room))
        return _error(404, "bad_route")

    def _participants(self, room: str) -> web.Response:
        self.asked[room] = self.asked.get(room, 0) + 1
        joined_ms = self.joined_ms.get(room)
        if joined_ms is None:
            return _error(404, "not_found")
        if room in self.broken:
            return _error(503, "unavailable")
        caller = ParticipantInfo(identity="ann", state=ParticipantInfo.State.ACTIVE, joined_at_ms=joined_ms)
        return _said(api.ListParticipantsResponse(participants=[caller] if joined_ms else []))


def _said(message: Message) -> web.Response:
    return web.Response(body=message.SerializeToString(), content_type="application/protobuf")


def _error(status: int, code: str) -> web.Response:
    return web.json_response({"code": code, "msg": "played"}, status=status)


@contextlib.asynccontextmanager
async def played_livekit(played: PlayedLiveKit, port: int = 0) -> AsyncIterator[PlayedLiveKit]:
    """`played` on a port of its own."""
    app = web.Application()
    app.router.add_post("/callers", played.join)
    app.router.add_post("/twirp/livekit.{method:.*}", played.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, backlog=1024)
        await site.start()
        address = runner.addresses[0]
        played.url, played.http_url = f"ws://127.0.0.1:{address[1]}", f"http://127.0.0.1:{address[1]}"
        yield played
    finally:
        await runner.cleanup()


async def _serve(port: int, delay_s: float) -> None:
    played = PlayedLiveKit(delay_s)
    async with played_livekit(played, port):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
    print(json.dumps({"dispatched_s": played.dispatched_s, "most_at_once": played.most_at_once}), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
