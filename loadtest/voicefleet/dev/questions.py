"""What the caller of `voicefleet dev` says: the recorded questions, sentences spoken by flite, or WAV files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from livekit import rtc

from voicefleet.callers.swarm import SwarmSettings, script
from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.wav import WavError, parse_wav
from voicefleet.speech.clips import Utterance, load_utterances
from voicefleet.speech.onset_detector import Samples, voiced_span
from voicefleet.speech.render import SAMPLE_RATE, polish, speak

VOICE = "slt"


def questions(say: Sequence[str], turns: int) -> tuple[Utterance, ...]:
    """The utterances of one call: those of `say`, else `turns` of the recorded ones.

    Raises:
        ConfigError: a file is no WAV that can be played, or silent.
        MissingPartError: there is no flite for a sentence.
    """
    if not say:
        return script(0, SwarmSettings(turns=turns), load_utterances())
    return tuple(_recording(Path(words)) if words.lower().endswith(".wav") else _spoken(words) for words in say)


def _spoken(text: str) -> Utterance:
    samples, start, end = polish(speak(text, VOICE))
    return Utterance("", text, VOICE, SAMPLE_RATE, start, end, samples)


def _recording(path: Path) -> Utterance:
    try:
        wav = parse_wav(path.read_bytes())
    except (OSError, WavError) as error:
        raise _refused(path, f"cannot be read ({error})") from error
    if not wav.is_mono_16_bit:
        raise _refused(path, "is not mono with 16 bit")
    samples = _resampled(wav.pcm, wav.sample_rate)
    if (span := voiced_span(samples)) is None:
        raise _refused(path, "holds no voice")
    return Utterance(path.name, path.name, "", SAMPLE_RATE, *span, samples)


def _resampled(pcm: bytes, sample_rate: int) -> Samples:
    if sample_rate == SAMPLE_RATE:
        return np.frombuffer(pcm, dtype="<i2").astype(np.int16)
    resampler = rtc.AudioResampler(sample_rate, SAMPLE_RATE)
    frames = [*resampler.push(bytearray(pcm)), *resampler.flush()]
    return np.concatenate([np.frombuffer(frame.data, dtype=np.int16) for frame in frames])


def _refused(path: Path, what: str) -> ConfigError:
    return ConfigError(what, field="--say", value=str(path), hint="Give a sentence, or a mono 16-bit WAV file.")
