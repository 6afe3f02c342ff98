"""Minutes of what a caller's microphone picks up: noises, music, knocks, televisions, and recorded callers over them.

Samples are float64 at 16 kHz in units of int16; levels are RMS in dBFS.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from voicefleet.speech.clips import load_utterances

RATE = 16_000
CALLER_DBFS = -22.0

Sound = NDArray[np.float64]


def at_level(sound: Sound, dbfs: float) -> Sound:
    """The same sound, louder or softer."""
    gain: float = 32768 * 10 ** (dbfs / 20) / float(np.sqrt(np.mean(sound**2)))
    return sound * gain


@cache
def utterances() -> tuple[Sound, ...]:
    """The recorded questions of all voices, at our rate."""
    clips = load_utterances()
    return tuple(
        np.interp(np.arange(0, clip.samples.size, clip.sample_rate / RATE), np.arange(clip.samples.size), clip.samples)
        for clip in clips
    )


class Sounds:
    """Makes the sounds of one run; `seconds` long each."""

    def __init__(self, seed: int, seconds: float) -> None:
        self._rng = np.random.default_rng(seed)
        self._n = int(seconds * RATE)

    def noise(self, dbfs: float, *, slope: float) -> Sound:
        """Noise whose spectrum falls with the `slope`-th power of frequency: 0 white, 0.5 pink, 1 brown."""
        spectrum = np.fft.rfft(self._rng.standard_normal(self._n))
        return at_level(np.fft.irfft(spectrum / np.maximum(1, np.arange(spectrum.size)) ** slope, self._n), dbfs)

    def music(self, dbfs: float) -> Sound:
        """Two notes a second over a beat."""
        out, beat = np.zeros(self._n), RATE // 2
        for start in range(0, self._n - beat, beat):
            t = np.arange(beat) / RATE
            pitch = 220 * 2 ** (self._rng.integers(0, 24) / 12)
            out[start : start + beat] += sum(np.sin(2 * np.pi * pitch * k * t) / k for k in range(1, 7)) * np.exp(
                -3 * t
            )
            for hit in (start, start + beat // 2):
                out[hit : hit + 800] += self._rng.standard_normal(800) * 0.8 * np.exp(-np.arange(800) / 150)
        return at_level(out, dbfs)

    def knocks(self, dbfs: float) -> Sound:
        """Crockery, steps, a keyboard."""
        out, at = np.zeros(self._n), 0
        while at < self._n - 4000:
            length = int(self._rng.integers(800, 4000))
            out[at : at + length] += self._rng.standard_normal(length) * np.exp(-np.arange(length) / 600)
            at += length + int(self._rng.uniform(0.1, 0.8) * RATE)
        return at_level(out, dbfs)

    def voices(self, dbfs: float, count: int) -> Sound:
        """So many people who talk at once without a pause: a television, a crowd."""
        out = np.zeros(self._n)
        for _ in range(count):
            at = 0
            while at < self._n:
                said = self._any()[: self._n - at]
                out[at : at + said.size] += said
                at += said.size + int(self._rng.uniform(0.0, 0.3) * RATE)
        return at_level(out, dbfs)

    def with_caller(self, background: Sound, dbfs: float = CALLER_DBFS) -> Sound:
        """A caller who asks again and again, with pauses of 1.5 to 6 s, over `background`."""
        out, at = background.copy(), 2 * RATE
        while at < self._n - 6 * RATE:
            said = at_level(self._any(), dbfs)
            out[at : at + said.size] += said
            at += said.size + int(self._rng.uniform(1.5, 6.0) * RATE)
        return out

    def _any(self) -> Sound:
        every = utterances()
        return every[int(self._rng.integers(len(every)))]

    def harmless(self) -> Iterator[tuple[str, Sound]]:
        """Everything that is no deafness, by name."""
        for dbfs in (-50.0, -35.0, -25.0):
            for name, slope in (("white", 0.0), ("pink", 0.5), ("brown", 1.0)):
                yield from self._alone_and_with_caller(f"{name} noise at {dbfs:.0f}", self.noise(dbfs, slope=slope))
        for dbfs in (-45.0, -35.0, -25.0):
            yield from self._alone_and_with_caller(f"music at {dbfs:.0f}", self.music(dbfs))
            yield f"knocks at {dbfs:.0f}", self.knocks(dbfs)
        for count, levels in (
            (6, (-50.0, -45.0, -40.0, -35.0)),
            (3, (-40.0, -30.0)),
            (1, (-50.0, -44.0, -40.0, -35.0)),
        ):
            for dbfs in levels:
                yield from self._alone_and_with_caller(f"{count} voices at {dbfs:.0f}", self.voices(dbfs, int(count)))
        for dbfs in (-50.0, -45.0, -40.0, -35.0, -30.0):
            yield f"a caller at {dbfs:.0f}", self.with_caller(self.noise(-70.0, slope=0.5), dbfs)

    def _alone_and_with_caller(self, name: str, sound: Sound) -> Iterator[tuple[str, Sound]]:
        yield name, sound
        yield f"{name}, and a caller", self.with_caller(sound)

    def backgrounds(self) -> tuple[Sound, ...]:
        """What a caller of a deaf agent has behind it."""
        return (
            self.noise(-80.0, slope=0.0),
            self.noise(-45.0, slope=0.5),
            self.music(-45.0),
            self.voices(-50.0, 6),
        )
