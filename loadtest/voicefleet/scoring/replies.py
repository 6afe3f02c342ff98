"""Whether the agent can be understood: its replies, cut out of the recording and put before a recogniser of their own.

It hears what the caller hears, after synthesis, codec and network. Replies that were interrupted are left out, for
nobody knows which of their words were still said.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voicefleet.contract.errors import ConfigError
from voicefleet.local.model_server.models import Recognizer
from voicefleet.local.model_server.protocol import SAMPLE_RATE
from voicefleet.tasks.record import TaskRecord

_MARGIN_S = 0.1
"""Cut so much wider than the voice: an onset's threshold takes the breath off the first word."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of the agent and where it is heard: all its sounds, with the silence between them."""

    task: str
    text: str
    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True)
class HeardReply:
    """The text of a reply, and what a recogniser made of its sound."""

    task: str
    text: str
    heard: str


def replies(record: TaskRecord) -> tuple[Reply, ...]:
    """The agent's whole replies. A report of a reply comes at its end: what was heard since the report before is it."""
    found, since_s = [], float("-inf")
    for said in record.said:
        spans = [(a, b) for a, b in record.agent if since_s < (a + b) / 2 <= said.at_s]
        if spans and not said.interrupted:
            found.append(Reply(record.task, said.text, spans[0][0], spans[-1][1]))
        since_s = said.at_s
    return tuple(found)


def hear(records: Sequence[TaskRecord], recogniser: Recognizer, *, most: int | None = None) -> tuple[HeardReply, ...]:
    """Recognise the replies in the records' recordings; blocks, about 0.2 s of a core a reply with Whisper tiny.

    Args:
        most: no more than so many replies, spread evenly over all; None: all.

    Raises:
        ConfigError: a recording is missing, or is not as `tasks.recording` writes it.
    """
    found = [(record.recording, reply) for record in records if record.recording for reply in replies(record)]
    if most is not None and len(found) > most:
        found = [found[int(n * len(found) / most)] for n in range(most)]
    return tuple(_heard(recogniser, path, reply) for path, reply in found)


def whisper() -> Recognizer:
    """The recogniser that replies are put before: Whisper, English.

    Raises:
        ConfigError: its packages are not installed.
    """
    try:
        from voicefleet.local.model_server.whisper import WhisperModel

        return WhisperModel(threads=1)
    except ImportError as error:
        raise ConfigError(
            f"replies cannot be recognised: {error}", field="reply_wer", hint="Install `voicefleet[local]`."
        ) from error


def _heard(recogniser: Recognizer, path: str, reply: Reply) -> HeardReply:
    pcm = b"".join(_agent_sound(Path(path), reply))
    return HeardReply(reply.task, reply.text, recogniser.recognize(pcm, {}).text)


def _agent_sound(path: Path, reply: Reply) -> Iterator[bytes]:
    try:
        with wave.open(str(path), "rb") as wav:
            if (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) != (2, 2, SAMPLE_RATE):
                raise _unusable(path, "is not two channels of 16 bits at 16 kHz")
            begin = max(0, round((reply.from_s - _MARGIN_S) * SAMPLE_RATE))
            wav.setpos(min(begin, wav.getnframes()))
            frames = wav.readframes(round((reply.to_s - reply.from_s + 2 * _MARGIN_S) * SAMPLE_RATE))
    except (OSError, EOFError, wave.Error) as error:
        raise _unusable(path, f"cannot be read ({error})") from error
    yield np.frombuffer(frames, dtype="<i2").reshape(-1, 2)[:, 1].tobytes()


def _unusable(path: Path, what: str) -> ConfigError:
    return ConfigError(
        f"the recording {what}", field="recording", value=str(path), hint="Play the task again, or give no recordings."
    )
