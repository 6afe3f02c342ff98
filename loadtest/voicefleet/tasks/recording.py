"""A call as one hears it: a WAV file with the caller on the left and the agent on the right."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from voicefleet.callers.tracks import SAMPLE_RATE
from voicefleet.speech.clips import Utterance
from voicefleet.speech.onset_detector import Samples


class Recorder:
    """Keeps what is heard of the agent until the call is over: 32 kB a second."""

    def __init__(self) -> None:
        self._heard: list[tuple[float, Samples]] = []

    def heard(self, samples: Samples, t_s: float) -> None:
        """Samples of the agent's voice, the first of them heard at `t_s` (monotonic)."""
        self._heard.append((t_s, samples))

    def write(self, path: Path, joined_s: float, duration_s: float, uttered: Sequence[tuple[float, Utterance]]) -> None:
        """Write the file, from the join on. `uttered`: the caller's sounds and when their first samples played."""
        count = round(duration_s * SAMPLE_RATE)
        both = np.zeros((count, 2), dtype=np.int16)
        for channel, parts in enumerate(([(t_s, sound.samples) for t_s, sound in uttered], self._heard)):
            for t_s, samples in parts:
                at = round((t_s - joined_s) * SAMPLE_RATE)
                part = samples[max(0, -at) : max(0, count - at)]
                begin = max(0, at)
                both[begin : begin + part.size, channel] = part
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as wav:
            wav.setparams((2, 2, SAMPLE_RATE, count, "NONE", "not compressed"))
            wav.writeframes(both.astype("<i2").tobytes())
