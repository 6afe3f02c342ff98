"""What a microphone hears beside its speaker."""

from __future__ import annotations

import numpy as np

from voicefleet.speech.onset_detector import Samples
from voicefleet.speech.render import SAMPLE_RATE

_SPEECH_RMS = 32768 * 10 ** (-23 / 20)
"""Of all clips: see `speech.render`."""
_NOISE_S = 5.0


def noise(snr_db: float, rng: np.random.Generator) -> Samples:
    """A few seconds of a room's noise (pink) that can be looped, so many decibels below speech."""
    count = round(_NOISE_S * SAMPLE_RATE)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum[1:] /= np.sqrt(np.arange(1, spectrum.size))
    spectrum[0] = 0
    pink = np.fft.irfft(spectrum, count)
    scaled = pink / np.sqrt(np.mean(pink**2)) * _SPEECH_RMS * 10 ** (-snr_db / 20)
    found: Samples = np.clip(scaled, -32768, 32767).astype(np.int16)
    return found


def looped(sound: Samples, count: int, at: int = 0) -> Samples:
    """`count` samples of a sound that begins anew whenever it ends, from its sample `at` on."""
    return sound[np.arange(at, at + count) % sound.size]
