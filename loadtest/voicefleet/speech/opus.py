"""Speech as prepared Opus frames, for callers that send what was encoded beforehand.

Those of the clips that ship with the package are in `audio/opus.json`, so that no encoder is needed to use them:
``python -m voicefleet.speech.opus`` writes it anew.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np

from voicefleet.contract.errors import MissingPartError
from voicefleet.speech.background import looped
from voicefleet.speech.clips import Utterance, audio_folder, load_utterances
from voicefleet.speech.onset_detector import Samples
from voicefleet.speech.render import SAMPLE_RATE

FRAME_S = 0.02
FRAMES_FILE = "opus.json"
_FRAME = round(FRAME_S * SAMPLE_RATE)
_HEADERS = 2
"""Packets before the sound: those that say what it is."""
_RUN_IN = 5
"""Frames of what was heard before: the encoder knows it when the first frame comes, as in a stream that goes on."""


def opus_frames(utterance: Utterance, background: Samples | None = None) -> tuple[bytes, ...]:
    """The utterance (16 kHz), silence included, as frames of 20 ms.

    The encoder looks 6.5 ms ahead, so a decoder plays each sample that much later: as with any client that encodes
    while it speaks.

    Args:
        background: heard beneath it, from its first sample on (see `loop_frames`); None: nothing.

    Raises:
        MissingPartError: it has to be encoded, and there is no encoder.
    """
    if background is None:
        return _shipped().get(_digest(utterance)) or encode(utterance.samples)
    background = _whole(background)
    beneath = looped(background, utterance.samples.size)
    heard = np.clip(beneath.astype(np.int32) + utterance.samples, -32768, 32767).astype(np.int16)
    before = looped(background[::-1], _RUN_IN * _FRAME)[::-1]
    return encode(np.concatenate((before, heard)))[_RUN_IN:]


def loop_frames(background: Samples) -> tuple[bytes, ...]:
    """A background (16 kHz) as frames that are sent over and over; what is left of its last frame is left out.

    Raises:
        MissingPartError: there is no encoder.
    """
    background = _whole(background)
    # The second time round, so that the end leads to the beginning.
    return encode(np.tile(background, 2))[background.size // _FRAME :]


def encode(samples: Samples) -> tuple[bytes, ...]:
    """The frames of a sound at 16 kHz, made now. Raises as `opus_frames` does."""
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise MissingPartError(
            f"Opus is encoded with soundfile, which cannot be used: {error}",
            field="soundfile",
            hint="Install voicefleet[loadtest], or use --engine python.",
        ) from error
    padded = np.concatenate((samples, np.zeros(-samples.size % _FRAME, dtype=np.int16)))
    file = io.BytesIO()
    soundfile.write(file, padded, SAMPLE_RATE, format="OGG", subtype="OPUS")
    # The last one holds what the encoder looked ahead.
    return tuple(_packets(file.getvalue()))[_HEADERS : _HEADERS + padded.size // _FRAME]


def _packets(ogg: bytes) -> Iterator[bytes]:
    """The packets of an Ogg stream (RFC 3533): pages of segments; one shorter than 255 bytes ends a packet."""
    at, packet = 0, b""
    while at < len(ogg):
        segments = ogg[at + 27 : at + 27 + ogg[at + 26]]
        at += 27 + len(segments)
        for size in segments:
            packet += ogg[at : at + size]
            at += size
            if size < 255:
                yield packet
                packet = b""


def _whole(background: Samples) -> Samples:
    return background[: background.size // _FRAME * _FRAME]


@cache
def _shipped() -> Mapping[str, tuple[bytes, ...]]:
    """SHA-256 of an utterance's samples -> its frames; those of another recording are none of its."""
    kept = json.loads(audio_folder().joinpath(FRAMES_FILE).read_bytes())
    return {digest: tuple(map(base64.b64decode, frames)) for digest, frames in kept.items()}


def _digest(utterance: Utterance) -> str:
    return hashlib.sha256(utterance.samples.astype("<i2").tobytes()).hexdigest()


def write(path: Path) -> None:
    """Encode all clips of the package."""
    lines = []
    for one in load_utterances():
        frames = [base64.b64encode(frame).decode() for frame in encode(one.samples)]
        lines.append(f"{json.dumps(_digest(one))}: {json.dumps(frames, separators=(',', ':'))}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).with_name("audio") / FRAMES_FILE)
