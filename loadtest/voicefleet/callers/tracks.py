"""The caller's audio: one speech source (what it sends) and a listener per agent track (what it receives)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
from livekit import rtc

from voicefleet.runtime.clock import Clock
from voicefleet.speech.background import looped
from voicefleet.speech.clock import PlayoutClock, StreamClock
from voicefleet.speech.onset_detector import Onset, OnsetDetector, OnsetSettings, Samples, SpeechEvent

SAMPLE_RATE = 16_000
"""Hz, both ways: half the cost of 48 kHz, and recognisers work at 16 kHz."""
_FRAME_S = 0.06
_LEAD_S = 0.06
"""A frame is queued this long before the one in the queue ends: the queue holds 60 to 120 ms, so an event
loop late by 60 ms leaves no hole. It delays a question by as much, and T0 counts that in."""
_QUEUE_MS = 200
_CLOSE_TIMEOUT_S = 2.0
Heard = Callable[[Samples, float], None]
"""``heard(samples, t_s)``: received samples, and the monotonic time at which the first of them was heard."""
LISTEN_FRAME_MS = 50
"""Received audio comes in frames of this length: each costs a trip through Python, whatever its size."""


class SpeechSource:
    """Sends silence without end, and utterances on request, from ONE task that is never cancelled.

    Cancelling `AudioSource.capture_frame` crashes the process, so the task ends by a flag, and whoever
    closes the source waits for it.

    Args:
        background: sent beneath all else, over and over (int16, mono, 16 kHz); None: silence.
    """

    def __init__(self, clock: Clock, background: Samples | None = None) -> None:
        self._clock = clock
        self._source = rtc.AudioSource(SAMPLE_RATE, 1, queue_size_ms=_QUEUE_MS)
        self.track = rtc.LocalAudioTrack.create_audio_track("caller", self._source)
        self._frame = int(_FRAME_S * SAMPLE_RATE)
        self._playout = PlayoutClock(SAMPLE_RATE)
        self._speech: Samples | None = None
        self._said = 0
        self._background = background
        self._background_at = 0
        self._began: asyncio.Future[float] | None = None
        self._closing = False
        self._task = asyncio.create_task(self._send(), name="caller-speech")

    def say(self, samples: Samples) -> asyncio.Future[float]:
        """Queue one utterance (int16, mono, 16 kHz) from the next frame on.

        Only after `until_silent`: two utterances at once are none.

        Returns:
            resolves, when the first frame is queued, to the monotonic time at which sample 0 plays; the
            rest follows without a hole. Fails with RuntimeError when the source stops before.
        """
        if self._speech is not None or self._task.done():
            raise RuntimeError("the source is still speaking, or has stopped")
        self._speech, self._said = samples, 0
        self._began = asyncio.get_running_loop().create_future()
        return self._began

    async def until_silent(self) -> None:
        """Wait until the utterance before is sent to its end: a starved machine sends it later than it was to play."""
        while self._speech is not None and not self._task.done():
            await self._clock.sleep(_FRAME_S)

    async def aclose(self) -> None:
        """Stop sending; bounded: a native call that never returns is left behind, not cancelled."""
        self._closing = True
        done, _ = await asyncio.wait({self._task}, timeout=_CLOSE_TIMEOUT_S)
        if done:
            await self._source.aclose()

    async def _send(self) -> None:
        try:
            while not self._closing:
                now_s = self._clock.monotonic()
                early_s = self._playout.end_s - _LEAD_S - now_s
                if early_s > 0:
                    await self._clock.sleep(early_s)
                    continue
                await self._source.capture_frame(self._next_frame(now_s))
        finally:
            if self._began is not None and not self._began.done():
                self._began.set_exception(RuntimeError("the caller's audio stopped"))

    def _next_frame(self, now_s: float) -> rtc.AudioFrame:
        pcm = self._beneath()
        plays_s = self._playout.push(self._frame, now_s)
        if self._speech is not None:
            part = self._speech[self._said : self._said + self._frame]
            sum_ = pcm[: part.size].astype(np.int32) + part
            pcm[: part.size] = np.clip(sum_, -32768, 32767)
            self._said += part.size
            if self._said >= self._speech.size:
                self._speech = None
        if self._began is not None:
            if not self._began.done():
                self._began.set_result(plays_s)
            self._began = None
        return rtc.AudioFrame(pcm.tobytes(), SAMPLE_RATE, 1, self._frame)

    def _beneath(self) -> Samples:
        """The next frame of the background."""
        if self._background is None:
            return np.zeros(self._frame, dtype=np.int16)
        pcm = looped(self._background, self._frame, self._background_at)
        self._background_at += self._frame
        return pcm


class TrackListener:
    """Listens to one agent track and reports, with times, when its voice begins and ends.

    Args:
        began, ended: called with the monotonic time of the first, and one past the last, voiced sample.
        heard: told of everything that is received; None: nobody.
    """

    def __init__(
        self,
        track: rtc.Track,
        clock: Clock,
        *,
        began: Callable[[float], None],
        ended: Callable[[float], None],
        settings: OnsetSettings | None = None,
        heard: Heard | None = None,
    ) -> None:
        self._heard = heard
        self._clock = clock
        self._settings = settings or OnsetSettings(sample_rate=SAMPLE_RATE)
        self._began, self._ended = began, ended
        self._stream = rtc.AudioStream(
            track,
            sample_rate=self._settings.sample_rate,
            num_channels=1,
            frame_size_ms=LISTEN_FRAME_MS,
        )
        self._task = asyncio.create_task(self._listen(), name="caller-listener")

    async def aclose(self) -> None:
        """Stop listening; a voice that goes on is reported as ended at its last voiced sample."""
        self._task.cancel()
        await asyncio.wait({self._task})
        await asyncio.wait({asyncio.ensure_future(self._stream.aclose())}, timeout=_CLOSE_TIMEOUT_S)

    async def _listen(self) -> None:
        detector = OnsetDetector(self._settings)
        times = StreamClock(self._settings.sample_rate)
        try:
            async for event in self._stream:
                now_s = self._clock.monotonic()
                samples = np.frombuffer(event.frame.data, dtype=np.int16)
                first_s = times.arrived(samples.size, now_s)
                if self._heard is not None:
                    self._heard(samples.copy(), first_s)
                self._report(detector.feed(samples, first_s))
        finally:
            self._report(detector.close())

    def _report(self, events: list[SpeechEvent]) -> None:
        for event in events:
            report = self._began if isinstance(event, Onset) else self._ended
            report(event.t_s)
