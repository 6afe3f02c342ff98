"""Speech as samples: make it, trim it, read it from a WAV file. Pure; samples are mono s16le."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voicefleet.contract.parsing.wav import WavError, parse_wav

_WINDOW_S = 0.005
_VOICED_RMS = 250.0
"""About -42 dBFS: over the noise floor of a synthetic voice, under its softest consonant."""

_PITCH_HZ = 140.0
_SYLLABLES_PER_S = 4.0
_HARMONICS = 12
_TONE_PEAK = 9000.0


@dataclass(frozen=True, slots=True)
class Speech:
    """Samples and their rate in samples per second."""

    samples: npt.NDArray[np.int16]
    sample_rate: int

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate


def read_wav(data: bytes) -> Speech:
    """The samples of a mono 16-bit WAV file, at the rate that its header says.

    Raises:
        WavError: it is something else, or cut short.
    """
    wav = parse_wav(data)
    if not wav.is_mono_16_bit or len(wav.pcm) % 2:
        raise WavError("not mono 16-bit")
    return Speech(np.frombuffer(wav.pcm, np.int16), wav.sample_rate)


def trim(speech: Speech, *, lead_s: float, tail_s: float) -> Speech:
    """Without the silence around the voice, but for `lead_s` seconds before and `tail_s` after; empty for silence."""
    window = max(1, round(_WINDOW_S * speech.sample_rate))
    count = -(-len(speech.samples) // window)
    padded = np.zeros(count * window)
    padded[: len(speech.samples)] = speech.samples
    loud = np.flatnonzero(np.sqrt((padded.reshape(count, window) ** 2).mean(axis=1)) > _VOICED_RMS)
    if not len(loud):
        return Speech(speech.samples[:0], speech.sample_rate)
    start = max(0, int(loud[0]) * window - round(lead_s * speech.sample_rate))
    end = (int(loud[-1]) + 1) * window + round(tail_s * speech.sample_rate)
    return Speech(speech.samples[start:end], speech.sample_rate)


def voiced_tone(duration_s: float, sample_rate: int) -> Speech:
    """A voice without words: harmonics of a speaker's pitch, louder and softer at the pace of syllables.

    Voiced from its first 5 ms to its last, so that an energy detector finds its onset at once; it never falls silent.
    """
    t = np.arange(round(duration_s * sample_rate)) / sample_rate
    tone = sum(np.sin(2 * np.pi * _PITCH_HZ * k * t) / k for k in range(1, _HARMONICS + 1))
    syllables = 0.65 + 0.35 * np.cos(2 * np.pi * _SYLLABLES_PER_S * t)
    samples = tone * syllables
    peak = np.abs(samples).max(initial=1e-9)
    return Speech((samples / peak * _TONE_PEAK).astype(np.int16), sample_rate)
