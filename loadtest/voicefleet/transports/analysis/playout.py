"""The ear of the arms that are not WebRTC: each frame is played at a fixed time after it was spoken, or never. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voicefleet.speech.onset_detector import Samples

Floats = NDArray[np.float64]

PLAYOUT_MS = 60.0
"""Beyond the network's own delay one way and the frame itself."""
_FADE = 0.5
"""A missing frame is the one before it at half its strength, and so on: the simplest concealment there is."""


def on_time(delay_ms: Floats, deadline_ms: float) -> NDArray[np.bool_]:
    """Which frames were there when their turn came; NaN is a frame that never came."""
    with np.errstate(invalid="ignore"):
        result: NDArray[np.bool_] = delay_ms <= deadline_ms
    return result


def play(pcm: Samples, good: NDArray[np.bool_]) -> Samples:
    """What the ear hears of frames of shape ``(n, samples)``, of which only the `good` ones came in time."""
    out = np.zeros_like(pcm)
    strength, last = 0.0, np.zeros(pcm.shape[1])
    for number, there in enumerate(good):
        if there:
            out[number] = pcm[number]
            last, strength = pcm[number].astype(np.float64), 1.0
        else:
            strength *= _FADE
            out[number] = np.rint(last * strength).astype(np.int16)
    return out.reshape(-1)


def stalls(good: NDArray[np.bool_], least: int = 3) -> int:
    """Holes of `least` frames or more, one after another."""
    edges = np.flatnonzero(np.diff(np.concatenate(([True], good, [True])).astype(np.int8)))
    return int(np.sum(edges[1::2] - edges[::2] >= least))
