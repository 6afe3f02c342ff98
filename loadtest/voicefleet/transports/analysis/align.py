"""How late speech is heard, by comparing the sound: for arms that change the samples on their way. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voicefleet.speech.clock import StreamClock
from voicefleet.speech.onset_detector import Samples

Floats = NDArray[np.float64]

_WINDOW_S = 0.4
_STEP_S = 0.1
_LONGEST_S = 2.5
"""Delays beyond this are not looked for."""
_LEAST_RMS = 300.0
"""Windows that are mostly silence cannot be found again."""
_LEAST_LIKENESS = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """A stream of samples and when the first of each of its frames was heard (monotonic seconds)."""

    samples: Samples
    frame: int
    times_s: Floats


def heard(samples: Samples, arrived_s: Floats, sample_rate: int) -> Heard:
    """From frames of equal length and the time each came to us; see `StreamClock` for the error."""
    frame = samples.size // max(1, arrived_s.size)
    clock = StreamClock(sample_rate)
    return Heard(samples, frame, np.array([clock.arrived(frame, float(now)) for now in arrived_s]))


def delays(said: Samples, said_s: float, ear: Heard, sample_rate: int) -> tuple[Floats, Floats]:
    """SpeechSource-to-ear delay over time.

    Args:
        said: what was said, from monotonic time `said_s` on.

    Returns:
        seconds since `said_s` of each window that could be judged, and its delay in ms (NaN: not found in the ear).
    """
    window, at, out = int(_WINDOW_S * sample_rate), [], []
    for start in range(0, said.size - window, int(_STEP_S * sample_rate)):
        piece = said[start : start + window].astype(np.float64)
        if np.sqrt(np.mean(piece**2)) < _LEAST_RMS:
            continue
        spoken_s = said_s + start / sample_rate
        first = int(np.searchsorted(ear.times_s, spoken_s))
        place = first * ear.frame
        sound = ear.samples[place : place + window + int(_LONGEST_S * sample_rate)].astype(np.float64)
        at.append(start / sample_rate)
        if sound.size < window:
            out.append(np.nan)
            continue
        likeness = _likeness(piece, sound)
        best = int(np.argmax(likeness))
        found = likeness[best] >= _LEAST_LIKENESS
        out.append(1000 * (ear.times_s[first] + best / sample_rate - spoken_s) if found else np.nan)
    return np.array(at), np.array(out)


def from_moment(ear: Heard, t_s: float, count: int) -> Samples:
    """`count` samples heard from `t_s` on, filled up with silence."""
    first = int(np.searchsorted(ear.times_s, t_s)) * ear.frame
    part = ear.samples[first : first + count]
    return np.concatenate((part, np.zeros(count - part.size, dtype=np.int16)))


def _likeness(piece: Floats, sound: Floats) -> Floats:
    """Normalised cross-correlation of `piece` with every place of `sound`, -1 to 1."""
    size = 1 << int(np.ceil(np.log2(sound.size + piece.size)))
    spectrum = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(piece, size))
    products = np.fft.irfft(spectrum, size)[: sound.size - piece.size + 1]
    squares = np.concatenate(([0.0], np.cumsum(sound**2)))
    energy = squares[piece.size :] - squares[: -piece.size]
    result: Floats = products / np.sqrt(np.maximum(energy * np.sum(piece**2), 1.0))
    return result
