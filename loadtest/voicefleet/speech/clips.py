"""The callers' utterances: real clips with a manifest of origin, checksum and last voiced sample."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

import numpy as np

from voicefleet.contract.errors import ConfigError, MissingPartError
from voicefleet.contract.parsing.wav import parse_wav
from voicefleet.speech.onset_detector import Samples

MANIFEST = "manifest.json"


@dataclass(frozen=True, eq=False)
class Utterance:
    """One question, spoken by one voice.

    Attributes:
        file: name inside the audio folder.
        text: what is said.
        voice: who says it.
        sample_rate: Hz.
        speech_start_sample, speech_end_sample: first voiced sample, and one past the last; what follows
            is silence, so T0 is taken at the latter, never at the end of the file.
        samples: shape ``(n,)``, int16, mono, read-only.
    """

    file: str
    text: str
    voice: str
    sample_rate: int
    speech_start_sample: int
    speech_end_sample: int
    samples: Samples

    @property
    def duration_s(self) -> float:
        """Length of the clip, silence included."""
        return self.samples.size / self.sample_rate


def audio_folder() -> Traversable:
    """The folder of the clips that ship with the package."""
    return resources.files("voicefleet.speech").joinpath("audio")


@cache
def load_utterances() -> tuple[Utterance, ...]:
    """All clips that ship with the package, in the manifest's order; read and checked once.

    Raises:
        MissingPartError: a file is not there.
        ConfigError: a file is not the one the manifest describes.
    """
    return read_folder(audio_folder())


def voices(utterances: tuple[Utterance, ...]) -> dict[str, tuple[Utterance, ...]]:
    """The utterances of each voice, in their order."""
    names = dict.fromkeys(u.voice for u in utterances)
    return {name: tuple(u for u in utterances if u.voice == name) for name in names}


def read_folder(folder: Traversable) -> tuple[Utterance, ...]:
    """Read a folder of clips against its manifest. Raises as `load_utterances` does."""
    manifest = json.loads(_read(folder, MANIFEST))
    return tuple(_read_clip(folder, entry) for entry in manifest["clips"])


def _read_clip(folder: Traversable, entry: dict[str, object]) -> Utterance:
    name = str(entry["file"])
    data = _read(folder, name)
    digest = hashlib.sha256(data).hexdigest()
    if digest != entry["sha256"]:
        raise ConfigError(
            "the clip is not the one in the manifest",
            field=name,
            value=digest,
            hint="Restore the file, or render all clips again: python -m voicefleet.speech.render",
        )
    wav = parse_wav(data)
    shape = (wav.channels, wav.sample_bytes, wav.sample_rate)
    samples = np.frombuffer(wav.pcm, dtype="<i2").astype(np.int16, copy=False)
    end = int(str(entry["speech_end_sample"]))
    start = int(str(entry["speech_start_sample"]))
    if shape != (1, 2, entry["sample_rate"]) or not 0 <= start < end <= samples.size:
        raise ConfigError(
            "the manifest describes another sound (mono, 16 bit, its rate, voiced samples inside)",
            field=name,
            value=shape,
            hint="Render all clips again: python -m voicefleet.speech.render",
        )
    samples.flags.writeable = False
    return Utterance(
        file=name,
        text=str(entry["text"]),
        voice=str(entry["voice"]),
        sample_rate=wav.sample_rate,
        speech_start_sample=start,
        speech_end_sample=end,
        samples=samples,
    )


def _read(folder: Traversable, name: str) -> bytes:
    try:
        return folder.joinpath(name).read_bytes()
    except OSError as error:
        raise MissingPartError(
            "a clip of the callers' voices is missing",
            field=name,
            hint="Install voicefleet again, or render the clips: python -m voicefleet.speech.render",
        ) from error
