"""One end of a WebRTC run: in a LiveKit room, with a track of its own and an ear on the other end's.

What is heard cannot be matched frame by frame, as the codec and the jitter buffer stand between: the ear's samples
and their times are kept, and compared with what was said afterwards (`align`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from livekit import rtc

from voicefleet.netlab.realtime import SPEAKING_PRIORITY, become_realtime
from voicefleet.speech.onset_detector import Samples
from voicefleet.transports.arms import BY_ID
from voicefleet.transports.material import speech
from voicefleet.transports.order import Order
from voicefleet.transports.protocols.frames import FRAME_S, FRAME_SAMPLES, SAMPLE_RATE
from voicefleet.transports.protocols.webrtc_stats import WebRtcStats
from voicefleet.transports.talk import SpeechSource

_CONNECT_LIMIT_S = 40.0
_SETTLE_S = 1.0
"""From the moment the other end's track is there until we speak: it has to hear us from our first word."""
_TONE_HZ, _TONE_PEAK = 440.0, 300
"""What is sent before the speech, so that the first audio can be heard as such."""
_EAR_MS = 10
_AUDIBLE_RMS = 60.0


class End:
    """Our side of the room."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._arm = BY_ID[order.arm]
        self._room = rtc.Room()
        self._source = rtc.AudioSource(SAMPLE_RATE, 1, queue_size_ms=0)
        self._track = rtc.LocalAudioTrack.create_audio_track(order.role, self._source)
        self._speech: Samples = speech(order.says, order.seconds)
        self._speaker = SpeechSource(
            np.concatenate((self._speech, np.zeros(int(order.grace_s * SAMPLE_RATE), dtype=np.int16)))
        )
        self._there = asyncio.Event()
        self._heard: list[bytes] = []
        self._heard_at_s: list[float] = []
        self._ears: set[asyncio.Task[None]] = set()
        self._statistics = WebRtcStats(self._room)
        self._first_s: float | None = None
        self.said_s: float | None = None
        self._room.on("track_subscribed", self._on_track)

    async def run(self) -> None:
        """Join, talk, leave, write down."""
        began_s = time.monotonic()
        async with asyncio.timeout(_CONNECT_LIMIT_S):
            await self._room.connect(self._order.livekit["url"], self._order.livekit["token"], self._options())
            await self._room.local_participant.publish_track(
                self._track,
                rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, red=self._arm.red, dtx=self._arm.dtx),
            )
        connected_s = time.monotonic()
        # This thread alone: the native ones, which code and send, wait for the clock that says when to speak.
        become_realtime(SPEAKING_PRIORITY + 1)
        caller = self._order.role == "caller"
        if not caller:
            print("ready", flush=True)
        polling = asyncio.create_task(self._statistics.poll())
        speaking = asyncio.create_task(self._speak())
        async with asyncio.timeout(2 * _CONNECT_LIMIT_S + self._order.seconds):
            await self._there.wait()
            await speaking
        # The other end's last words are still on their way, longer over a buffer that has grown.
        await asyncio.sleep(self._order.grace_s)
        self._statistics.stop()
        await polling
        for ear in self._ears:
            ear.cancel()
        self._write(began_s, connected_s)

    async def leave(self) -> None:
        """Leave the room."""
        await self._room.disconnect()

    async def _speak(self) -> None:
        """A quiet tone until the other end can hear us, then the speech. One task, never cancelled."""
        tone = _TONE_PEAK * np.sin(2 * np.pi * _TONE_HZ * np.arange(FRAME_SAMPLES) / SAMPLE_RATE)
        idle = SpeechSource(np.tile(tone.astype(np.int16), int(2 * _CONNECT_LIMIT_S / FRAME_S)))
        idle.begin()
        there_s: float | None = None
        async for frame in idle.frames():
            await self._send(frame.pcm)
            if there_s is None and self._there.is_set():
                there_s = frame.spoken_s
            if there_s is not None and frame.spoken_s > there_s + _SETTLE_S:
                break
        self._speaker.begin()
        async for frame in self._speaker.frames():
            if self.said_s is None:
                self.said_s = frame.spoken_s - FRAME_S
            await self._send(frame.pcm)

    async def _send(self, pcm: bytes) -> None:
        # A source without a queue takes 10 ms at a time, and hands them to the encoder at once.
        half = len(pcm) // 2
        for part in (pcm[:half], pcm[half:]):
            await self._source.capture_frame(rtc.AudioFrame(part, SAMPLE_RATE, 1, len(part) // 2))

    def _options(self) -> rtc.RoomOptions:
        relay = self._order.livekit.get("relay")
        if relay is None:
            return rtc.RoomOptions(connect_timeout=15.0)
        server = rtc.IceServer(urls=[relay["url"]], username=relay["username"], password=relay["password"])
        return rtc.RoomOptions(
            connect_timeout=15.0,
            rtc_config=rtc.RtcConfiguration(
                ice_transport_type=rtc.IceTransportType.TRANSPORT_RELAY, ice_servers=[server]
            ),
        )

    def _on_track(self, track: rtc.Track, *_: Any) -> None:
        if isinstance(track, rtc.RemoteAudioTrack):
            self._ears.add(asyncio.create_task(self._listen(track)))

    async def _listen(self, track: rtc.RemoteAudioTrack) -> None:
        stream = rtc.AudioStream(track, sample_rate=SAMPLE_RATE, num_channels=1, frame_size_ms=_EAR_MS)
        self._there.set()
        async for event in stream:
            now_s = time.monotonic()
            data = bytes(event.frame.data)
            self._heard.append(data)
            self._heard_at_s.append(now_s)
            if self._first_s is None:
                wide = np.frombuffer(data, dtype=np.int16).astype(np.float64)
                if np.sqrt(np.mean(wide**2)) > _AUDIBLE_RMS:
                    self._first_s = now_s

    def _write(self, began_s: float, connected_s: float) -> None:
        caller = self._order.role == "caller"
        heard = np.frombuffer(b"".join(self._heard), dtype=np.int16)
        np.savez(f"{self._order.out}.npz", heard=heard, heard_at_s=np.array(self._heard_at_s))
        summary = {
            "connect_ms": 1000 * (connected_s - began_s) if caller else None,
            "first_audio_ms": 1000 * (self._first_s - began_s) if caller and self._first_s is not None else None,
            "pacer": self._speaker.lateness.to_json(),
            "said_s": self.said_s,
            "statistics": self._statistics.series,
            "worker": self._statistics.worker,
            "failed": None,
        }
        Path(f"{self._order.out}.json").write_text(json.dumps(summary))


async def talk(order: Order) -> None:
    """Carry out the order, then end the process at once: LiveKit's native library may crash as it is taken down."""
    end = End(order)
    try:
        await end.run()
    except BaseException as error:
        Path(f"{order.out}.json").write_text(json.dumps({"failed": f"{type(error).__name__}: {error}"}))
    with contextlib.suppress(Exception):
        await asyncio.wait_for(end.leave(), 3.0)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
