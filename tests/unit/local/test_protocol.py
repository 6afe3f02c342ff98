"""Framing between job processes and the model server."""

from __future__ import annotations

import asyncio
import struct

import pytest

from voicefleet.local.model_server.protocol import (
    MAX_HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    Message,
    ProtocolError,
    encode,
    read_message,
)

pytestmark = pytest.mark.unit


def reader_of(*parts: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    for part in parts:
        reader.feed_data(part)
    reader.feed_eof()
    return reader


async def test_what_is_written_is_read() -> None:
    message = Message({"op": "recognize", "model": "whisper", "options": {"beam_size": 1}}, bytes(range(256)) * 3)
    assert await read_message(reader_of(encode(message))) == message


async def test_messages_follow_each_other_whatever_the_chunks() -> None:
    data = encode(Message({"n": 1}, b"abc")) + encode(Message({"n": 2}))
    reader = reader_of(*(data[i : i + 1] for i in range(len(data))))
    assert await read_message(reader) == Message({"n": 1}, b"abc")
    assert await read_message(reader) == Message({"n": 2})


@pytest.mark.parametrize("cut", [0, 3, 8, 12, -1])
async def test_a_message_cut_short_is_an_incomplete_read(cut: int) -> None:
    with pytest.raises(asyncio.IncompleteReadError):
        await read_message(reader_of(encode(Message({"op": "ping"}, b"abc"))[:cut]))


@pytest.mark.parametrize("header", [b"no json", b"[1]", b"\xff\xfe"])
async def test_a_header_that_is_no_object_is_refused(header: bytes) -> None:
    with pytest.raises(ProtocolError):
        await read_message(reader_of(struct.pack(">II", len(header), 0) + header))


@pytest.mark.parametrize("sizes", [(MAX_HEADER_BYTES + 1, 0), (2, MAX_PAYLOAD_BYTES + 1)])
async def test_sizes_over_the_limits_are_refused_before_they_are_read(sizes: tuple[int, int]) -> None:
    with pytest.raises(ProtocolError, match="at most"):
        await read_message(reader_of(struct.pack(">II", *sizes)))


def test_a_payload_over_the_limit_is_not_sent() -> None:
    with pytest.raises(ProtocolError):
        encode(Message({}, bytes(MAX_PAYLOAD_BYTES + 1)))
