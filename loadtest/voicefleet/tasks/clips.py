"""Turns the lines of a task into sound: words by flite, recordings, coughs, pauses, and the noise of a room.

Everything but the words is arithmetic: the same seed gives the same samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.wav import WavError, parse_wav
from voicefleet.speech.clips import Utterance
from voicefleet.speech.onset_detector import Samples, voiced_span
from voicefleet.speech.render import SAMPLE_RATE, VOICES, polish, speak
from voicefleet.tasks.record import SpeechKind
from voicefleet.tasks.schema import Caller, CallerLine, Pause

_ASIDE_GAIN = 10 ** (-14 / 20)
"""Turned away, a few steps from the microphone."""
_COUGH_S = 0.35
_COUGH_PEAK = 9000.0
BACKCHANNEL = "uh huh"


@dataclass(frozen=True, eq=False)
class Spoken:
    """A line as sound.

    Attributes:
        kind: what it is when said in its place (a turn with `over_s` is a barge-in).
        utterance: the sound.
        over_s: as the line has it.
        pauses: silences inside it, in samples: ``((from, to), ...)``.
    """

    kind: SpeechKind
    utterance: Utterance
    over_s: float | None
    pauses: tuple[tuple[int, int], ...] = ()


def voice_of(caller: Caller, rng: np.random.Generator) -> str:
    """The task's voice, else one by the seed."""
    return caller.voice or str(rng.choice(VOICES))


def spoken(line: CallerLine | str, voice: str, folder: Path | None, rng: np.random.Generator) -> Spoken:
    """A line as `voice` utters it.

    Raises:
        MissingPartError: no flite.
        ConfigError: a recording that cannot be used.
    """
    if isinstance(line, str):
        line = CallerLine(say=line)
    if line.sound == "cough":
        return _made(SpeechKind.COUGH, line, "", voice, cough(rng))
    if line.sound == "backchannel":
        text = line.text or BACKCHANNEL
        return _made(SpeechKind.BACKCHANNEL, line, text, voice, _words(text, voice))
    if line.aside is not None:
        faint: Samples = (_words(line.aside, voice) * _ASIDE_GAIN).astype(np.int16)
        return _made(SpeechKind.SIDE_TALK, line, line.aside, voice, faint)
    kind = SpeechKind.TURN if line.over_s is None else SpeechKind.BARGE_IN
    if line.file is not None:
        assert line.text is not None
        return _made(kind, line, line.text, "recorded", recording((folder or Path()) / line.file))
    assert line.say is not None
    parts = (line.say,) if isinstance(line.say, str) else line.say
    samples, pauses = _joined(parts, voice)
    return _made(kind, line, " ".join(part for part in parts if isinstance(part, str)), voice, samples, pauses)


def cough(rng: np.random.Generator) -> Samples:
    """A burst of breath, then a shorter one: loud, and no word."""
    t = np.arange(round(_COUGH_S * SAMPLE_RATE)) / SAMPLE_RATE
    shape = np.exp(-t / 0.06) + 0.6 * np.exp(-np.clip(t - 0.18, 0, None) / 0.05) * (t >= 0.18)
    breath = np.convolve(rng.standard_normal(t.size), np.ones(5) / 5, mode="same")
    sound = breath * shape
    sound *= _COUGH_PEAK / np.abs(sound).max()
    pad = np.zeros(round(0.05 * SAMPLE_RATE), dtype=np.int16)
    return np.concatenate((pad, sound.astype(np.int16), pad))


def recording(path: Path) -> Samples:
    """A recording at 16 kHz. Raises ConfigError: not mono 16-bit WAV with a voice in it."""
    try:
        wav = parse_wav(path.read_bytes())
    except (OSError, WavError) as error:
        raise _unusable(path, f"cannot be read as WAV ({error})") from error
    if not wav.is_mono_16_bit:
        raise _unusable(path, "is not mono with 16 bits")
    samples = np.frombuffer(wav.pcm, dtype="<i2").astype(np.int16, copy=False)
    if wav.sample_rate != SAMPLE_RATE:
        count = round(samples.size * SAMPLE_RATE / wav.sample_rate)
        at = np.arange(count) * wav.sample_rate / SAMPLE_RATE
        samples = np.interp(at, np.arange(samples.size), samples).astype(np.int16)
    if voiced_span(samples) is None:
        raise _unusable(path, "holds no voice")
    return samples


def _unusable(path: Path, what: str) -> ConfigError:
    return ConfigError(what, field="file", value=path.name, hint="Record mono 16-bit WAV, best at 16 kHz.")


@lru_cache(maxsize=1024)
def _words(text: str, voice: str) -> Samples:
    samples, _, _ = polish(speak(text, voice))
    samples.flags.writeable = False
    return samples


def _joined(parts: tuple[str | Pause, ...], voice: str) -> tuple[Samples, tuple[tuple[int, int], ...]]:
    pieces: list[Samples] = []
    pauses: list[tuple[int, int]] = []
    for part in parts:
        at = sum(piece.size for piece in pieces)
        if isinstance(part, str):
            pieces.append(_words(part, voice))
        else:
            silence = np.zeros(round(part.pause_s * SAMPLE_RATE), dtype=np.int16)
            pieces.append(silence)
            pauses.append((at, at + silence.size))
    return np.concatenate(pieces), tuple(pauses)


def _made(
    kind: SpeechKind,
    line: CallerLine,
    text: str,
    voice: str,
    samples: Samples,
    pauses: tuple[tuple[int, int], ...] = (),
) -> Spoken:
    first, last = voiced_span(samples) or (0, samples.size)
    sound = Utterance(
        file=line.file or "",
        text=text,
        voice=voice,
        sample_rate=SAMPLE_RATE,
        speech_start_sample=first,
        speech_end_sample=last,
        samples=samples,
    )
    return Spoken(kind, sound, line.over_s, pauses)
