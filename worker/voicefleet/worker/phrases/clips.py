"""Recorded audio that a worker can play without any provider: read and checked when the worker starts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.wav import WavError, parse_wav

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
    samples: bytes = field(repr=False)
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


def read_clip(text: str, path: str, field: str) -> Clip:
    """The recording at `path`, which says `text`.

    Raises:
        ConfigError: it cannot be read, or is none that can be played; it names `field`.
    """
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
