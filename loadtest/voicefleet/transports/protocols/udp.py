"""A datagram per frame; nothing is sent again."""

from __future__ import annotations

import asyncio
from typing import Any

from voicefleet.transports.protocols.frames import FRAME_BYTES, decode
from voicefleet.transports.protocols.protocol import PORT, ProtocolEnd

_HELLO = b"hello"
_AGAIN_S = 0.3


class UdpEnd(ProtocolEnd):
    """Both ends; the agent answers to where the caller's hello came from."""

    def prepare(self) -> None:
        self._greeted = asyncio.Event()
        self._peer: Any = None

    async def listen(self) -> None:
        await self._open(local=(self.address, PORT))

    async def connect(self) -> None:
        await self._open(remote=(self.address, PORT))
        while not self._greeted.is_set():
            self._transport.sendto(_HELLO)
            try:
                await asyncio.wait_for(self._greeted.wait(), _AGAIN_S)
            except TimeoutError:
                continue
        self.source.begin()

    async def speak(self) -> None:
        async for frame in self.source.frames():
            self._transport.sendto(frame.encode(), self._peer)

    async def close(self) -> None:
        self._transport.close()

    async def _open(self, *, local: tuple[str, int] | None = None, remote: tuple[str, int] | None = None) -> None:
        self._is_agent = local is not None
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self), local_addr=local, remote_addr=remote
        )

    def received(self, data: bytes, sender: Any) -> None:
        """One datagram."""
        if self._is_agent:
            self._peer = sender
            self.source.begin()
        if data == _HELLO:
            if self._is_agent:
                self._transport.sendto(_HELLO, sender)
            self._greeted.set()
        elif len(data) == FRAME_BYTES:
            self.listener.receive(decode(data))


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, end: UdpEnd) -> None:
        self._end = end

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._end.received(data, addr)
