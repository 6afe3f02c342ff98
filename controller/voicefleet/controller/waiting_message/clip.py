"""The recordings of the waiting message: read and checked once, when the settings are."""

from __future__ import annotations

import array
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.documents import parse_yaml
from voicefleet.contract.parsing.wav import WavError, parse_wav

SAMPLE_RATES = (16_000, 24_000, 48_000)
MIN_S, MAX_S = 0.3, 30.0
_QUIETEST_PEAK = 1_000
"""About -30 dBFS: a recording whose loudest sample is below it is not heard on a telephone."""
_RATES = "/".join(str(rate) for rate in SAMPLE_RATES)
_HINT = f"Give a WAV file: mono, 16 bit, {_RATES} Hz, {MIN_S:g} to {MAX_S:g} s."


@dataclass(frozen=True, slots=True)
class Clip:
    """Mono int16 sound, little-endian, at `sample_rate` Hz."""

    sample_rate: int
    pcm: bytes = field(repr=False)

    @property
    def duration_s(self) -> float:
        return len(self.pcm) / 2 / self.sample_rate


@dataclass(frozen=True, slots=True)
class Recording:
    """A WAV file and what it says; the text may be empty."""

    path: Path
    text: str


@cache
def built_in() -> Mapping[str, Recording]:
    """The recordings that come with voicefleet, by language: texts.yaml."""
    folder = Path(str(resources.files("voicefleet.controller.waiting_message")))
    texts = parse_yaml((folder / "texts.yaml").read_text(encoding="utf-8"), field="texts.yaml", value="")
    return {language: Recording(folder / "audio" / f"waiting-{language}.wav", text) for language, text in texts.items()}


def read_clip(path: Path, *, field: str) -> Clip:
    """The recording in `path`.

    Raises:
        ConfigError: not there, or not such a sound; it names `field`.
    """
    try:
        wav = parse_wav(path.read_bytes())
    except OSError as error:
        raise _refused(f"cannot be read ({error.strerror or error})", path, field) from error
    except WavError as error:
        raise _refused(f"not a plain WAV file ({error})", path, field) from error
    if wav.channels != 1:
        raise _refused(f"has {wav.channels} channels", path, field)
    if wav.sample_bytes != 2:
        raise _refused(f"has {wav.sample_bytes * 8} bits a sample", path, field)
    clip = Clip(wav.sample_rate, wav.pcm)
    if clip.sample_rate not in SAMPLE_RATES:
        raise _refused(f"has {clip.sample_rate} samples a second", path, field)
    if not MIN_S <= clip.duration_s <= MAX_S:
        raise _refused(f"lasts {clip.duration_s:.1f} s", path, field)
    if _peak(clip.pcm) < _QUIETEST_PEAK:
        raise _refused("is silent", path, field)
    return clip


def _peak(pcm: bytes) -> int:
    samples = array.array("h", pcm)
    if sys.byteorder == "big":
        samples.byteswap()
    return max(max(samples), -min(samples))


def _refused(what: str, path: Path, field: str) -> ConfigError:
    return ConfigError(what, field=field, value=str(path), hint=_HINT)
