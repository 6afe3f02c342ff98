"""One TCP connection, frames back to back both ways, without Nagle's delay."""

from __future__ import annotations

import asyncio

from voicefleet.transports.protocols.frames import Splitter
from voicefleet.transports.protocols.protocol import PORT, ProtocolEnd


class TcpEnd(ProtocolEnd):
    """Both ends."""

    def prepare(self) -> None:
        self._connected = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(lambda: _Stream(self), self.address, PORT)

    async def connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: _Stream(self), self.address, PORT)

    async def speak(self) -> None:
        await self._connected.wait()
        async for frame in self.source.frames():
            assert self._transport is not None
            self._transport.write(frame.encode())

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._transport is not None:
            self._transport.abort()

    def measure(self) -> None:
        self.note_tcp(self._transport)

    def opened(self, transport: asyncio.Transport) -> None:
        """The connection is there."""
        self._transport = transport
        self._connected.set()
        self.source.begin()


class _Stream(asyncio.Protocol):
    def __init__(self, end: TcpEnd) -> None:
        self._end = end
        self._frames = Splitter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._end.opened(transport)

    def data_received(self, data: bytes) -> None:
        for frame in self._frames.feed(data):
            self._end.listener.receive(frame)
