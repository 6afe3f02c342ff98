"""Messages between a job process and the model server, over a Unix socket. Pure: no I/O but the reader handed in.

One message is ``header length (u32) | payload length (u32) | header (JSON object) | payload (bytes)``, numbers
big-endian. A connection carries one request and one reply, so that hanging up cancels exactly that request.

Request ``{"op": "recognize", "model": str, "options": {...}}`` with 16 kHz mono s16le PCM as payload, or
``{"op": "ping"}``. Reply ``{"ok": true, ...}`` or ``{"ok": false, "error": str, "retryable": bool}``.
"""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import dataclass
from typing import Any

SAMPLE_RATE = 16_000
"""Samples per second of every payload; both models were trained at it."""

MODELS = ("whisper", "pocketsphinx")
"""Names of the models that the server can load."""

MAX_HEADER_BYTES = 64 * 1024
MAX_PAYLOAD_BYTES = 2 * SAMPLE_RATE * 120
"""Two minutes of speech: longer means a voice activity detector that never closed."""

_PREFIX = struct.Struct(">II")


class ProtocolError(Exception):
    """The other side sent something that is no message of this protocol."""


@dataclass(frozen=True, slots=True)
class Message:
    """A JSON header and the bytes that go with it."""

    header: dict[str, Any]
    payload: bytes = b""


def encode(message: Message) -> bytes:
    """The message as bytes.

    Raises:
        ProtocolError: header or payload is over its limit.
    """
    header = json.dumps(message.header, separators=(",", ":")).encode()
    _check_sizes(len(header), len(message.payload))
    return _PREFIX.pack(len(header), len(message.payload)) + header + message.payload


async def read_message(reader: asyncio.StreamReader) -> Message:
    """The next message.

    Raises:
        asyncio.IncompleteReadError: the other side hung up before the message was whole.
        ProtocolError: the sizes are over the limits, or the header is not a JSON object.
    """
    header_bytes, payload_bytes = _PREFIX.unpack(await reader.readexactly(_PREFIX.size))
    _check_sizes(header_bytes, payload_bytes)
    raw = await reader.readexactly(header_bytes)
    payload = await reader.readexactly(payload_bytes)
    try:
        header = json.loads(raw)
    except ValueError as error:
        raise ProtocolError("the header is not JSON") from error
    if not isinstance(header, dict):
        raise ProtocolError("the header is not a JSON object")
    return Message(header, payload)


def _check_sizes(header_bytes: int, payload_bytes: int) -> None:
    if header_bytes > MAX_HEADER_BYTES:
        raise ProtocolError(f"header of {header_bytes} bytes, at most {MAX_HEADER_BYTES}")
    if payload_bytes > MAX_PAYLOAD_BYTES:
        raise ProtocolError(f"payload of {payload_bytes} bytes, at most {MAX_PAYLOAD_BYTES}")
