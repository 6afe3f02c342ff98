"""One WebSocket, a binary message per frame."""

from __future__ import annotations

import asyncio

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web

from voicefleet.transports.protocols.frames import decode
from voicefleet.transports.protocols.protocol import PORT, ProtocolEnd

Socket = web.WebSocketResponse | ClientWebSocketResponse


class WebSocketEnd(ProtocolEnd):
    """Both ends. Messages are not compressed: PCM does not shrink, and it takes time."""

    def prepare(self) -> None:
        self._ready = asyncio.Event()
        self._socket: Socket | None = None
        self._session: ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self._reading: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        app = web.Application()
        app.router.add_get("/call", self._serve)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.address, PORT, shutdown_timeout=0.1).start()

    async def connect(self) -> None:
        self._session = ClientSession()
        socket = await self._session.ws_connect(f"http://{self.address}:{PORT}/call", compress=0)
        self._reading = asyncio.create_task(self._read(socket))

    async def speak(self) -> None:
        await self._ready.wait()
        assert self._socket is not None
        async for frame in self.source.frames():
            await self._socket.send_bytes(frame.encode())

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        await self._read(socket)
        return socket

    async def _read(self, socket: Socket) -> None:
        self._socket = socket
        self._ready.set()
        self.source.begin()
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                self.listener.receive(decode(message.data))
