"""WAV files: bytes in, samples and their format out. What format is wanted is for the caller to check."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass, field


class WavError(Exception):
    """Not a WAV file of PCM, or one that is cut short."""


@dataclass(frozen=True, slots=True)
class Wav:
    """A WAV file's content.

    Attributes:
        channels: 1 is mono.
        sample_bytes: 2 is 16 bit.
        sample_rate: Hz.
        pcm: the samples, little-endian, channels in turn.
    """

    channels: int
    sample_bytes: int
    sample_rate: int
    pcm: bytes = field(repr=False)

    @property
    def is_mono_16_bit(self) -> bool:
        return (self.channels, self.sample_bytes) == (1, 2)


def parse_wav(data: bytes) -> Wav:
    """The content of a WAV file.

    Raises:
        WavError: it is none; the text says what is wrong with it.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            frames = file.readframes(file.getnframes())
            return Wav(file.getnchannels(), file.getsampwidth(), file.getframerate(), frames)
    except (wave.Error, EOFError) as error:
        raise WavError(str(error) or "it ends too early") from error
