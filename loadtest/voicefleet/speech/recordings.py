"""A team's own recordings as questions of callers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from livekit import rtc

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.wav import WavError, parse_wav
from voicefleet.speech.clips import Utterance
from voicefleet.speech.onset_detector import Samples, voiced_span
from voicefleet.speech.render import SAMPLE_RATE

HINT = "Give a mono 16-bit WAV file with a voice in it."


def recording(path: Path, *, field: str, hint: str = HINT) -> Utterance:
    """The question in a WAV file of any rate; its text is the file's name.

    Raises:
        ConfigError: it cannot be read or played, or is silent; it names `field`.
    """
    try:
        wav = parse_wav(path.read_bytes())
    except (OSError, WavError) as error:
        raise _refused(path, f"cannot be read as WAV ({error})", field, hint) from error
    if not wav.is_mono_16_bit:
        raise _refused(path, "is not mono with 16 bit", field, hint)
    samples = _resampled(wav.pcm, wav.sample_rate)
    if (span := voiced_span(samples)) is None:
        raise _refused(path, "holds no voice", field, hint)
    return Utterance(path.name, path.name, "", SAMPLE_RATE, *span, samples)


def recordings(folder: Path, *, field: str) -> tuple[Utterance, ...]:
    """All files of a folder, by name: each is a question, and all are of one voice.

    Raises:
        ConfigError: there is no such folder, nothing in it, or a file that is no recording.
    """
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    except OSError as error:
        raise _refused(folder, f"cannot be read ({error.strerror})", field, "Name a folder of WAV files.") from error
    if not files:
        raise _refused(folder, "is empty", field, "Put WAV files there: mono, 16 bit.")
    return tuple(recording(file, field=field) for file in files)


def _resampled(pcm: bytes, sample_rate: int) -> Samples:
    if sample_rate == SAMPLE_RATE:
        return np.frombuffer(pcm, dtype="<i2").astype(np.int16)
    resampler = rtc.AudioResampler(sample_rate, SAMPLE_RATE)
    frames = [*resampler.push(bytearray(pcm)), *resampler.flush()]
    return np.concatenate([np.frombuffer(frame.data, dtype=np.int16) for frame in frames])


def _refused(path: Path, what: str, field: str, hint: str) -> ConfigError:
    return ConfigError(what, field=field, value=str(path), hint=hint)
