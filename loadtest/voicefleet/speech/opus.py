"""Speech as prepared Opus frames, for callers that send what was encoded beforehand.

Those of the clips that ship with the package are in `audio/opus.json`, so that no encoder is needed to use them:
``python -m voicefleet.speech.opus`` writes it anew.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from voicefleet.contract.errors import MissingPartError
from voicefleet.speech.clips import Utterance, audio_folder, load_utterances

FRAME_S = 0.02
FRAMES_FILE = "opus.json"
_BIT_RATE = 24_000


@cache
def opus_frames(utterance: Utterance) -> tuple[bytes, ...]:
    """The utterance, silence included, as frames of 20 ms.

    The encoder looks 6.5 ms ahead, so a decoder plays each sample that much later: as with any client that encodes
    while it speaks.

    Raises:
        MissingPartError: it is none of the package's, and PyAV is not installed.
    """
    return _shipped().get(_digest(utterance)) or encode(utterance)


def encode(utterance: Utterance) -> tuple[bytes, ...]:
    """The frames, made now. Raises as `opus_frames` does."""
    try:
        import av
    except ImportError as error:
        raise MissingPartError(
            "Opus is encoded with PyAV, which is not installed",
            field="av",
            hint="Install the package av, or use --engine python.",
        ) from error
    rate = utterance.sample_rate
    encoder = av.AudioCodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.format, encoder.layout = rate, av.AudioFormat("s16"), av.AudioLayout("mono")
    encoder.bit_rate = _BIT_RATE
    encoder.options = {"application": "voip", "frame_duration": "20", "vbr": "on"}
    size = round(FRAME_S * rate)
    pcm = np.concatenate((utterance.samples, np.zeros(-utterance.samples.size % size, dtype=np.int16)))
    packets = []
    for at in range(0, pcm.size, size):
        frame = av.AudioFrame.from_ndarray(pcm[None, at : at + size], format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, at
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return tuple(bytes(packet) for packet in packets)[: pcm.size // size]


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
        frames = [base64.b64encode(frame).decode() for frame in encode(one)]
        lines.append(f"{json.dumps(_digest(one))}: {json.dumps(frames, separators=(',', ':'))}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).with_name("audio") / FRAMES_FILE)
