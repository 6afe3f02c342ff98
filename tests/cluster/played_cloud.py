"""Plays the front door of LiveKit Cloud: one address for calls, workers and the API, whose requests are limited."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

A_MINUTE = 1_000
"""Requests to the API that a project of LiveKit Cloud may make in a minute, by LiveKit's documentation."""

_API = "/twirp/"
_HOP = frozenset({"transfer-encoding", "content-length", "connection", "upgrade", "host"})


class FrontDoor:
    """Stands before one livekit-server, `HOST:PORT`."""

    def __init__(self, behind: str, port: int, a_minute: int = A_MINUTE) -> None:
        self._behind = behind
        self.port = port
        self._a_minute = a_minute
        self._lately: deque[float] = deque()
        self.requests: list[str] = []
        """`Service/Method` of every request to the API."""
        self.refused = 0
        """Those of them that were too many."""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Pass a request on, or a connection."""
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._connection(request)
        if request.path.startswith(_API):
            self.requests.append(request.path.removeprefix(_API).removeprefix("livekit."))
            if self._too_many():
                self.refused += 1
                return web.json_response({"code": "resource_exhausted", "msg": "too many requests"}, status=429)
        url = f"http://{self._behind}{request.raw_path}"
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        body = await request.read()
        async with (
            aiohttp.ClientSession(auto_decompress=False) as http,
            http.request(request.method, url, headers=headers, data=body) as found,
        ):
            kept = {name: value for name, value in found.headers.items() if name.lower() not in _HOP}
            return web.Response(status=found.status, body=await found.read(), headers=kept)

    def _too_many(self) -> bool:
        now_s = time.monotonic()
        while self._lately and self._lately[0] < now_s - 60.0:
            self._lately.popleft()
        self._lately.append(now_s)
        return len(self._lately) > self._a_minute

    async def _connection(self, request: web.Request) -> web.StreamResponse:
        url = f"ws://{self._behind}{request.raw_path}"
        headers = {"Authorization": request.headers["Authorization"]} if "Authorization" in request.headers else {}
        async with aiohttp.ClientSession() as http:
            try:
                inside = await http.ws_connect(url, headers=headers, max_msg_size=0)
            except aiohttp.WSServerHandshakeError as error:
                return web.Response(status=error.status)
            outside = web.WebSocketResponse(max_msg_size=0)
            await outside.prepare(request)
            ways = [asyncio.create_task(_pump(outside, inside)), asyncio.create_task(_pump(inside, outside))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                await inside.close()
                await outside.close()
            return outside


_Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def _pump(source: _Socket, target: _Socket) -> None:
    async for message in source:
        if message.type is aiohttp.WSMsgType.BINARY:
            await target.send_bytes(message.data)
        elif message.type is aiohttp.WSMsgType.TEXT:
            await target.send_str(message.data)


@contextlib.asynccontextmanager
async def front_door(address: str, port: int, behind: str) -> AsyncIterator[FrontDoor]:
    """Play it for the block."""
    door = FrontDoor(behind, port)
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", door.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, address, port).start()
    try:
        yield door
    finally:
        await runner.cleanup()
