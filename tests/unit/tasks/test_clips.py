"""A task's sounds: recordings, coughs, noise of a known level; and the recording of a whole call."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from voicefleet.contract.errors import ConfigError
from voicefleet.speech.background import noise
from voicefleet.speech.clips import Utterance
from voicefleet.tasks.clips import cough, recording, spoken
from voicefleet.tasks.record import SpeechKind
from voicefleet.tasks.recording import Recorder
from voicefleet.tasks.schema import CallerLine

pytestmark = pytest.mark.unit


def write(path: Path, samples: np.ndarray[tuple[int], np.dtype[np.int16]], rate: int, channels: int = 1) -> None:
    with wave.open(str(path), "wb") as wav:
        wav.setparams((channels, 2, rate, 0, "NONE", "not compressed"))
        wav.writeframes(samples.tobytes())


def tone(rate: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return (8000 * np.sin(np.arange(rate) * 2 * np.pi * 200 / rate)).astype(np.int16)


def test_the_same_seed_gives_the_same_sounds() -> None:
    for make in (cough, lambda rng: noise(20, rng)):
        one, same, other = (make(np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert (one == same).all()
        assert (one != other).any()


def test_noise_lies_below_speech_by_what_is_said() -> None:
    samples = noise(20, np.random.default_rng(1)).astype(float)
    assert 20 * np.log10(np.sqrt((samples**2).mean()) / 32768) == pytest.approx(-43, abs=0.2)


def test_a_recording_of_ones_own_is_brought_to_the_callers_rate(tmp_path: Path) -> None:
    write(tmp_path / "mine.wav", tone(48_000), 48_000)
    line = CallerLine(file="mine.wav", text="Hello.", over_s=0.5)
    made = spoken(line, "slt", tmp_path, np.random.default_rng(1))
    assert (made.kind, made.utterance.text, made.utterance.samples.size) == (SpeechKind.BARGE_IN, "Hello.", 16_000)


def test_what_is_no_recording_of_a_voice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.wav"
    path.write_bytes(b"no")
    with pytest.raises(ConfigError, match="cannot be read as WAV"):
        recording(path)
    write(path, tone(16_000), 16_000, channels=2)
    with pytest.raises(ConfigError, match="not mono"):
        recording(path)
    write(path, np.zeros(16_000, dtype=np.int16), 16_000)
    with pytest.raises(ConfigError, match="holds no voice"):
        recording(path)


def test_a_calls_recording_has_the_caller_left_and_the_agent_right(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.heard(np.full(800, 7, dtype=np.int16), 101.0)
    said = np.full(1600, 5, dtype=np.int16)
    utterance = Utterance("", "Hello.", "slt", 16_000, 0, 1600, said)
    recorder.write(tmp_path / "a" / "call.wav", 100.0, 2.0, [(100.5, utterance), (101.95, utterance)])
    with wave.open(str(tmp_path / "a" / "call.wav")) as wav:
        both = np.frombuffer(wav.readframes(40_000), dtype=np.int16).reshape(-1, 2)
    assert both.shape == (32_000, 2)
    assert (np.flatnonzero(both[:, 0])[[0, -1]] == [8_000, 31_999]).all()
    assert (np.flatnonzero(both[:, 1])[[0, -1]] == [16_000, 16_799]).all()
