"""One end of a conversation: it speaks a frame every 20 ms, and notes when each frame of the other end came."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import numpy as np

from voicefleet.netlab.lateness import Lateness
from voicefleet.speech.onset_detector import Samples
from voicefleet.transports.protocols.frames import FRAME_S, FRAME_SAMPLES, Frame


class SpeechSource:
    """Frames of `samples`, each when its last sample is spoken. `begin` sets the clock going."""

    def __init__(self, samples: Samples) -> None:
        self._frames = samples.reshape(-1, FRAME_SAMPLES)
        self._began_s: float | None = None
        self._began = asyncio.Event()
        self.lateness = Lateness()

    @property
    def count(self) -> int:
        """Frames there are to say."""
        return len(self._frames)

    def begin(self) -> None:
        """Speak from now on; once."""
        if self._began_s is None:
            self._began_s = time.monotonic()
            self._began.set()

    async def begun(self) -> None:
        """Wait until it speaks."""
        await self._began.wait()

    async def frames(self) -> AsyncIterator[Frame]:
        """Each frame when it is due."""
        await self._began.wait()
        assert self._began_s is not None
        for number, pcm in enumerate(self._frames):
            due_s = self._began_s + (number + 1) * FRAME_S
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            self.lateness.add(time.monotonic() - due_s)
            yield Frame(number, due_s, pcm.astype("<i2").tobytes())


class TrackListener:
    """What came of the other end's frames: the first copy of each."""

    def __init__(self, expected: int) -> None:
        self.spoken_s = np.full(expected, np.nan)
        self.arrived_s = np.full(expected, np.nan)
        self.pcm = np.zeros((expected, FRAME_SAMPLES), dtype=np.int16)
        self.first_s: float | None = None
        self._missing = expected
        self.complete = asyncio.Event()

    def receive(self, frame: Frame) -> None:
        """A frame is here, and those before it in the stream were."""
        now_s = time.monotonic()
        if self.first_s is None:
            self.first_s = now_s
        if frame.number >= len(self.arrived_s) or not np.isnan(self.arrived_s[frame.number]):
            return
        self.spoken_s[frame.number] = frame.spoken_s
        self.arrived_s[frame.number] = now_s
        self.pcm[frame.number] = np.frombuffer(frame.pcm, dtype="<i2")
        self._missing -= 1
        if not self._missing:
            self.complete.set()
