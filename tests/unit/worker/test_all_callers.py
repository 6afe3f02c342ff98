"""What several callers say, mixed into one input."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from livekit import rtc
from livekit.agents.voice.io import AudioInput

from support.fake_job import FakeRoom
from support.virtual_time import run
from voicefleet.worker.job import all_callers
from voicefleet.worker.job.all_callers import CHUNK_S, RATE, AllCallers, Mixer
from voicefleet.worker.job.caller_link import CallerLink

pytestmark = pytest.mark.unit


def tone(level: int, count: int) -> all_callers.Samples:
    return np.full(count, level, np.int16)


def test_two_who_speak_at_once_are_added_up_and_never_overflow() -> None:
    mixer = Mixer(4)
    assert mixer.push("ann", tone(100, 4))[0].tolist() == [100] * 4, "who is alone is not held up"
    assert mixer.push("bob", tone(30_000, 4)) == [], "ann may be about to say something, for a chunk"
    assert mixer.push("ann", tone(30_000, 4))[0].tolist() == [32_767] * 4
    assert mixer.push("ann", tone(1, 2)) == []
    assert mixer.push("bob", tone(2, 8))[0].tolist() == [3, 3, 2, 2]


def test_who_is_silent_holds_nobody_up_and_nothing_is_lost() -> None:
    mixer = Mixer(4)
    mixer.push("bob", tone(1, 4))
    found = [chunk for _ in range(4) for chunk in mixer.push("ann", tone(5, 3))]
    assert [chunk.tolist() for chunk in found] == [[5] * 4] * 2
    mixer.leave("bob")
    rest = mixer.push("ann", tone(5, 0))
    assert [chunk.tolist() for chunk in rest] == [[5] * 4]


class Script(AudioInput):
    """The linked caller's audio: one chunk at a time, as the test sends it."""

    def __init__(self) -> None:
        super().__init__(label="script")
        self.frames: asyncio.Queue[rtc.AudioFrame] = asyncio.Queue()

    async def __anext__(self) -> rtc.AudioFrame:
        return await self.frames.get()


SIZE = round(RATE * CHUNK_S)


def frame(level: int, rate: int = RATE) -> rtc.AudioFrame:
    return rtc.AudioFrame(tone(level, round(rate * CHUNK_S)).tobytes(), rate, 1, round(rate * CHUNK_S))


class FakeStream:
    """As `rtc.AudioStream`, of a track that is a queue."""

    def __init__(self, track: Any) -> None:
        self.track = track

    @classmethod
    def from_track(cls, *, track: Any, sample_rate: int, num_channels: int) -> FakeStream:
        assert (sample_rate, num_channels) == (RATE, 1)
        return cls(track)

    def __aiter__(self) -> FakeStream:
        return self

    async def __anext__(self) -> Any:
        return SimpleNamespace(frame=await self.track.get())

    async def aclose(self) -> None:
        pass


def speaks(room: FakeRoom, identity: str) -> asyncio.Queue[rtc.AudioFrame]:
    track: asyncio.Queue[rtc.AudioFrame] = asyncio.Queue()
    published = SimpleNamespace(track=track, source=rtc.TrackSource.SOURCE_MICROPHONE, sid=f"TR_{identity}")
    room.remote_participants[identity].track_publications = {published.sid: published}
    room.emit("track_subscribed", track, published, None)
    return track


def test_the_other_callers_are_heard_and_observers_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtc, "AudioStream", FakeStream)

    async def case() -> None:
        room, linked = FakeRoom(), Script()
        for identity in ("ann", "bob", "boss"):
            room.joins(identity, more={"voicefleet.role": "observer"} if identity == "boss" else {})
            room.remote_participants[identity].track_publications = {}
        link = CallerLink(cast(Any, room), ())
        link.watch()
        everyone = AllCallers(linked, cast(Any, room), link)
        bob, boss = speaks(room, "bob"), speaks(room, "boss")
        boss.put_nowait(frame(9_000))
        bob.put_nowait(frame(20))
        assert max((await everyone.__anext__()).data) == 20
        linked.frames.put_nowait(frame(1))
        await asyncio.sleep(0.01)
        bob.put_nowait(frame(20))
        assert max((await everyone.__anext__()).data) in (1, 21)
        room.leaves("bob")
        await asyncio.sleep(0.01)
        for _ in range(3):
            linked.frames.put_nowait(frame(3))
        heard = [max((await everyone.__anext__()).data) for _ in range(2)]
        assert heard[-1] == 3
        await everyone.aclose()

    run(case())


def test_audio_at_another_rate_is_resampled_and_what_nobody_reads_is_bounded() -> None:
    async def case() -> None:
        room, linked = FakeRoom(), Script()
        everyone = AllCallers(linked, cast(Any, room), CallerLink(cast(Any, room), ()))
        for _ in range(100):
            linked.frames.put_nowait(frame(5, 48_000))
        await asyncio.sleep(0.1)
        found = await everyone.__anext__()
        assert (found.sample_rate, found.samples_per_channel) == (RATE, SIZE)
        assert everyone._frames.qsize() <= round(all_callers.LONGEST_S / CHUNK_S)
        await everyone.aclose()

    run(case())
