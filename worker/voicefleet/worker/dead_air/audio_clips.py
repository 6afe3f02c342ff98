"""Recorded audio that a worker can play without any provider: read and checked when the worker starts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.wav import WavError, parse_wav
from voicefleet.worker.tiers.schema import Apology

if TYPE_CHECKING:
    from livekit import rtc

_FRAME_S = 0.1
_RATES_HZ = (8_000, 48_000)
_LONGEST_S = 15.0
_HINT = "Give a mono 16-bit PCM WAV file of 8 to 48 kHz and at most 15 s."


@dataclass(frozen=True, slots=True)
class Clip:
    """Recorded speech and what it says. `samples` is mono s16le at `sample_rate` a second."""

    text: str
    samples: bytes
    sample_rate: int

    @property
    def duration_s(self) -> float:
        return len(self.samples) / 2 / self.sample_rate

    async def frames(self) -> AsyncIterator[rtc.AudioFrame]:
        """The clip as audio frames of 0.1 s, for `AgentSession.say`."""
        from livekit import rtc

        step = 2 * round(_FRAME_S * self.sample_rate)
        for start in range(0, len(self.samples), step):
            part = self.samples[start : start + step]
            yield rtc.AudioFrame(part, self.sample_rate, 1, len(part) // 2)


@dataclass(frozen=True, slots=True)
class AudioClips:
    """The clips of a tier. `working` is None where the tier has an apology of its own and no such clip."""

    apology: Clip
    working: Clip | None


def load_audio_clips(apology: Apology, field: str) -> AudioClips:
    """The clips that `apology`, at `field` of the tiers file, asks for.

    Raises:
        ConfigError: an audio file cannot be read, or is none that can be played; it names the field.
    """
    own = None
    if apology.text and apology.audio:
        own = _read(apology.text, apology.audio, f"{field}.audio")
    working = None if own else _built_in("working.wav")
    if apology.working_text and apology.working_audio:
        working = _read(apology.working_text, apology.working_audio, f"{field}.working_audio")
    return AudioClips(own or _built_in("apology.wav"), working)


def _read(text: str, path: str, field: str) -> Clip:
    try:
        wav = parse_wav(Path(path).read_bytes())
    except OSError as error:
        raise ConfigError(
            f"cannot be read ({error.strerror})", field=field, value=path, hint="Correct the path."
        ) from error
    except WavError as error:
        raise ConfigError("not a PCM WAV file", field=field, value=path, hint=_HINT) from error
    clip, rate = Clip(text, wav.pcm, wav.sample_rate), wav.sample_rate
    if not (wav.is_mono_16_bit and _RATES_HZ[0] <= rate <= _RATES_HZ[1] and 0 < clip.duration_s <= _LONGEST_S):
        bits = 8 * wav.sample_bytes
        raise ConfigError(
            f"cannot be played ({wav.channels} channels, {bits} bit, {rate} Hz, {clip.duration_s:.1f} s)",
            field=field,
            value=path,
            hint=_HINT,
        )
    return clip


@cache
def _built_in(name: str) -> Clip:
    """Rendered by flite: manifest.json says from what, LICENSE.flite on what terms."""
    folder = resources.files("voicefleet.worker.dead_air") / "audio"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    text = next(clip["text"] for clip in manifest["clips"] if clip["file"] == name)
    with resources.as_file(folder / name) as path:
        return _read(text, str(path), name)
