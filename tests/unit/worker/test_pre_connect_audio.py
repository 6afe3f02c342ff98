"""What a caller said before its connection is its own voice, and is not waited for where it cannot come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents.voice.room_io import room_io

from voicefleet.worker.job.sdk import guard_pre_connect_audio

pytestmark = pytest.mark.unit

TRACK = "TR_of_the_caller"
ATTRIBUTES = {"trackId": TRACK, "sampleRate": "24000", "channels": "1"}


def room(*, data: bool) -> Any:
    caller = SimpleNamespace(
        identity="caller", track_publications={TRACK: None}, permissions=SimpleNamespace(can_publish_data=data)
    )
    mallory = SimpleNamespace(identity="mallory", track_publications={}, permissions=caller.permissions)
    return SimpleNamespace(remote_participants={"caller": caller, "mallory": mallory})


class Audio:
    """A byte stream with 0.1 s of sound."""

    info = SimpleNamespace(attributes=ATTRIBUTES, mime_type="")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"\1\0" * 2_400


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(room_io, "PreConnectAudioHandler", room_io.PreConnectAudioHandler)  # type: ignore[attr-defined]
    guard_pre_connect_audio()
    return room_io.PreConnectAudioHandler  # type: ignore[attr-defined]


async def test_it_is_taken_from_the_owner_of_the_track_alone(handler: Any) -> None:
    made = handler(room(data=True), timeout=0.01)
    await made._read_audio_task(cast(rtc.ByteStreamReader, Audio()), "mallory")
    with pytest.raises(TimeoutError):
        await made.wait_for_data(TRACK)
    await made._read_audio_task(cast(rtc.ByteStreamReader, Audio()), "caller")
    assert sum(frame.samples_per_channel for frame in await made.wait_for_data(TRACK)) == 2_400


async def test_sent_before_its_track_it_is_still_the_senders_own(handler: Any) -> None:
    there = room(data=True)
    track = there.remote_participants["caller"].track_publications
    del track[TRACK]
    made = handler(there, timeout=0.01)
    await made._read_audio_task(cast(rtc.ByteStreamReader, Audio()), "mallory")
    track[TRACK] = None
    assert await made.wait_for_data(TRACK) == []


async def test_nobody_waits_for_what_a_caller_may_not_send(handler: Any) -> None:
    made = handler(room(data=False), timeout=3_600.0)
    async with asyncio.timeout(5):
        assert await made.wait_for_data(TRACK) == []
