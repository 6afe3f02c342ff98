"""What every protocol offers to an end of a conversation."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from asyncio import BaseTransport
from socket import IPPROTO_TCP, TCP_INFO

from voicefleet.transports.talk import SpeechSource, TrackListener

PORT = 9000


class ProtocolEnd(ABC):
    """One end. The agent's listens, the caller's connects.

    Args:
        source, listener: of this end.
        address: the agent's, where it listens.
    """

    def __init__(self, source: SpeechSource, listener: TrackListener, address: str, mode: str = "") -> None:
        self.source, self.listener, self.address, self.mode = source, listener, address, mode
        self.segments = 0
        """Segments with data that TCP sent, as far as known."""
        self.retransmits = 0
        self.prepare()

    @abstractmethod
    def prepare(self) -> None:
        """Make what both ends need."""

    @abstractmethod
    async def listen(self) -> None:
        """The agent's end: be ready for the caller. Its source begins with the caller's connection."""

    @abstractmethod
    async def connect(self) -> None:
        """The caller's end: be ready to send."""

    @abstractmethod
    async def speak(self) -> None:
        """Send every frame of the source."""

    @abstractmethod
    async def close(self) -> None:
        """Let go, in bounded time."""

    def measure(self) -> None:  # noqa: B027  # most protocols have nothing to say
        """Trial TCP's counts, where they are known; before `close`."""

    def note_tcp(self, transport: BaseTransport | None) -> None:
        """Trial the kernel's counts of a connection before it is closed."""
        sock = transport.get_extra_info("socket") if transport is not None else None
        if sock is None or sock.fileno() < 0:
            return
        info = sock.getsockopt(IPPROTO_TCP, TCP_INFO, 256)
        # linux/tcp.h, struct tcp_info: tcpi_total_retrans and tcpi_data_segs_out.
        self.retransmits += struct.unpack_from("I", info, 100)[0]
        self.segments += struct.unpack_from("I", info, 156)[0]
