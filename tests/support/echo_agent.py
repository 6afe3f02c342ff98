"""An agent with no intelligence and a known delay: the yardstick for what callers measure.

It runs in the process of the caller, so both read the same monotonic clock, and it shares none of the
caller's timing code: 10 ms frames at 48 kHz, paced by a queue of 20 ms, times taken at the native call.
Truths therefore hold to about 20 ms. It replies `delay_s` after the caller's last voiced sample as it
hears it, with `hangover_s` <= `delay_s`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import numpy as np
from livekit import api, rtc
from numpy.typing import NDArray

from voicefleet.speech.onset_detector import Onset, OnsetDetector, OnsetSettings

RATE = 48_000
_FRAME = RATE // 100


def token(key: str, secret: str, room: str, identity: str, *, agent: bool) -> str:
    """A join token, for an agent or for a caller."""
    grants = api.VideoGrants(room_join=True, room=room, agent=agent)
    jwt = api.AccessToken(key, secret).with_identity(identity).with_grants(grants)
    return jwt.with_kind("agent" if agent else "standard").to_jwt()


def voice_like(duration_s: float, *, pitch_hz: float = 140.0) -> NDArray[np.int16]:
    """A buzz with speech-like overtones and a hard onset at sample 0, int16 at 48 kHz, about -20 dBFS."""
    t = np.arange(int(duration_s * RATE)) / RATE
    wave = sum(np.cos(2 * np.pi * pitch_hz * k * t) / k for k in range(1, 12))
    scaled = 0.1 * np.asarray(wave) / np.std(wave)
    pcm: NDArray[np.int16] = np.rint(np.clip(scaled, -0.99, 0.99) * 32767).astype(np.int16)
    return pcm


@dataclass
class Reply:
    """One reply: what the agent heard and when its own voice began, monotonic seconds."""

    heard_end_s: float
    spoke_s: float


@dataclass
class EchoAgent:
    """JoinCounter with `start()`, replies to every caller until `aclose()`.

    Attributes:
        greets_after_s: greeting this long after the caller is in the room; None: it never greets.
        delay_s: from the caller's last voiced sample to the reply; None: it never replies.
        talks_over_after_s: it speaks this long after the caller's onset, once; None: it does not.
        speech_s: length of its utterances.
    """

    url: str
    jwt: str
    greets_after_s: float | None = 0.5
    delay_s: float | None = 0.4
    talks_over_after_s: float | None = None
    speech_s: float = 0.8
    hangover_s: float = 0.25
    greeted_s: float | None = None
    replies: list[Reply] = field(default_factory=list)

    async def start(self) -> None:
        self._room = rtc.Room()
        self._listeners: list[asyncio.Task[None]] = []
        self._closing = False
        self._queue: list[NDArray[np.int16]] = []
        self._spoke: asyncio.Future[float] | None = None
        self._chores: set[asyncio.Task[None]] = set()
        self._room.on("track_subscribed", self._on_track)
        await self._room.connect(self.url, self.jwt)
        self._source = rtc.AudioSource(RATE, 1, queue_size_ms=20)
        track = rtc.LocalAudioTrack.create_audio_track("agent", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self._room.local_participant.publish_track(track, options)
        self._sender = asyncio.create_task(self._send())
        self._room.on("participant_connected", self._on_participant)
        for participant in self._room.remote_participants.values():
            self._on_participant(participant)

    async def aclose(self) -> None:
        self._closing = True
        await self._sender  # never cancelled: that would crash the process
        for task in (*self._listeners, *self._chores):
            task.cancel()
        await asyncio.gather(*self._listeners, *self._chores, return_exceptions=True)
        await self._room.disconnect()
        await self._source.aclose()

    async def _send(self) -> None:
        silence = np.zeros(_FRAME, dtype=np.int16)
        while not self._closing:
            pcm = self._queue.pop(0) if self._queue else silence
            at_s = time.monotonic()
            if pcm is not silence and self._spoke is not None:
                self._spoke.set_result(at_s)
                self._spoke = None
            await self._source.capture_frame(rtc.AudioFrame(pcm.tobytes(), RATE, 1, _FRAME))

    async def _speak(self) -> float:
        """Queue an utterance; the monotonic time at which its first sample went out."""
        pcm = voice_like(self.speech_s)
        self._spoke = asyncio.get_running_loop().create_future()
        self._queue = [pcm[i : i + _FRAME] for i in range(0, pcm.size - _FRAME + 1, _FRAME)]
        return await self._spoke

    def _on_participant(self, who: rtc.RemoteParticipant) -> None:
        is_caller = who.kind != rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        if is_caller and self.greets_after_s is not None:
            self._chore(self._greet(self.greets_after_s))

    async def _greet(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self.greeted_s = await self._speak()

    async def _reply(self, heard_end_s: float, delay_s: float) -> None:
        await asyncio.sleep(max(0.0, heard_end_s + delay_s - time.monotonic()))
        self.replies.append(Reply(heard_end_s, await self._speak()))

    async def _talk_over(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._speak()

    def _on_track(self, track: rtc.Track, _publication: rtc.RemoteTrackPublication, who: rtc.RemoteParticipant) -> None:
        if who.kind != rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            self._listeners.append(asyncio.create_task(self._listen(track)))

    async def _listen(self, track: rtc.Track) -> None:
        ear = OnsetDetector(OnsetSettings(sample_rate=RATE, hangover_s=self.hangover_s))
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1)
        try:
            async for event in stream:
                pcm = np.frombuffer(event.frame.data, dtype=np.int16)
                for heard in ear.feed(pcm, time.monotonic() - pcm.size / RATE):
                    if isinstance(heard, Onset):
                        if self.talks_over_after_s is not None:
                            self._chore(self._talk_over(self.talks_over_after_s))
                            self.talks_over_after_s = None
                    elif self.delay_s is not None:
                        self._chore(self._reply(heard.t_s, self.delay_s))
        finally:
            await stream.aclose()

    def _chore(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
