"""Samples: the synthetic voice is heard at once, silence is trimmed, WAV files are checked."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest

from voicefleet.contract.parsing.wav import WavError
from voicefleet.local.pcm import Speech, read_wav, trim, voiced_tone
from voicefleet.local.sentence_tts import sentences

pytestmark = pytest.mark.unit

RATE = 16_000


def rms(samples: np.ndarray, window_s: float, rate: int) -> np.ndarray:
    n = round(window_s * rate)
    energy: np.ndarray = (samples[: len(samples) // n * n].astype(float).reshape(-1, n) ** 2).mean(axis=1)
    return np.asarray(np.sqrt(energy))


@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
def test_the_tone_is_voiced_from_first_to_last(rate: int) -> None:
    tone = voiced_tone(2.0, rate)
    assert tone.duration_s == 2.0
    # -35 dBFS in each 20 ms, the first included: over any sensible onset threshold.
    assert rms(tone.samples, 0.02, rate).min() > 32768 * 10 ** (-35 / 20)
    assert np.abs(tone.samples[: rate // 200]).max() > 2000


def test_trimming_keeps_the_asked_margins() -> None:
    voice = voiced_tone(0.5, RATE).samples
    noise = np.random.default_rng(1).normal(0, 20, RATE // 2).astype(np.int16)
    trimmed = trim(Speech(np.concatenate([noise, voice, noise]), RATE), lead_s=0.01, tail_s=0.15)
    assert trimmed.duration_s == pytest.approx(0.66, abs=0.006)


def test_trimming_silence_leaves_nothing_and_speech_without_silence_all() -> None:
    assert len(trim(Speech(np.zeros(RATE, np.int16), RATE), lead_s=0.01, tail_s=0.1).samples) == 0
    tone = voiced_tone(0.3, RATE)
    assert len(trim(tone, lead_s=0.01, tail_s=0.1).samples) == len(tone.samples)


def wav(rate: int, channels: int, width: int, frames: bytes) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setframerate(rate)
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.writeframes(frames)
    return buffer.getvalue()


def test_the_rate_comes_from_the_header() -> None:
    speech = read_wav(wav(8000, 1, 2, b"\1\0\2\0"))
    assert (speech.sample_rate, speech.samples.tolist()) == (8000, [1, 2])


@pytest.mark.parametrize(
    "data", [b"", b"RIFF", b"not a wav file at all", wav(8000, 2, 2, bytes(8)), wav(8000, 1, 1, b"a")]
)
def test_other_data_is_refused(data: bytes) -> None:
    with pytest.raises(WavError):
        read_wav(data)


def test_text_is_cut_at_the_ends_of_sentences() -> None:
    assert sentences(" Yes. We are open!  Why not? ... ") == ["Yes.", "We are open!", "Why not?"]
    assert sentences("It costs 3.50 a day") == ["It costs 3.50 a day"]
    assert sentences(" ... ") == []
