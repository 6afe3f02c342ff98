"""The frames of the arms that are not WebRTC: 20 ms of PCM with a number and the time they were complete. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

SAMPLE_RATE = 16_000
FRAME_S = 0.02
FRAME_SAMPLES = int(SAMPLE_RATE * FRAME_S)
_HEAD = struct.Struct("!Id")
FRAME_BYTES = _HEAD.size + 2 * FRAME_SAMPLES
"""652: fits one packet with any header, and every frame has it, so a stream needs no lengths."""


@dataclass(frozen=True, slots=True)
class Frame:
    """`spoken_s` is the monotonic time at which its last sample was spoken; `pcm` int16, little endian."""

    number: int
    spoken_s: float
    pcm: bytes

    def encode(self) -> bytes:
        """`FRAME_BYTES` bytes."""
        return _HEAD.pack(self.number, self.spoken_s) + self.pcm


def decode(data: bytes | memoryview) -> Frame:
    """The frame in `FRAME_BYTES` bytes."""
    number, spoken_s = _HEAD.unpack_from(data)
    return Frame(number, spoken_s, bytes(data[_HEAD.size : FRAME_BYTES]))


class Splitter:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that these bytes complete."""
        self._rest += data
        while len(self._rest) >= FRAME_BYTES:
            frame = decode(memoryview(self._rest)[:FRAME_BYTES].tobytes())
            del self._rest[:FRAME_BYTES]
            yield frame
