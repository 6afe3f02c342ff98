"""The protocol between the controller and its announcer: orders in, answers out, one JSON object a line."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict, dataclass, field


class Result(enum.StrEnum):
    """What became of one message."""

    SPOKEN = "spoken"
    """To its end."""
    AGENT_CAME = "agent_came"
    """An agent was there, or came, and the waiting voice fell silent."""
    NO_CALLER = "no_caller"
    OTHER_VOICE = "other_voice"
    """Another replica spoke."""
    FAILED = "failed"
    """The room could not be joined, or the sound not be sent."""
    LOST = "lost"
    """The announcer died in the middle of it."""


@dataclass(frozen=True, slots=True)
class Order:
    """One message: join `url` with `token`, play the WAV file `audio` once, leave; sooner when an agent of `agent_name`
    comes."""

    number: int
    url: str
    token: str = field(repr=False)
    room: str
    audio: str
    agent_name: str

    def encode(self) -> bytes:
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Order:
        """Raises ValueError, TypeError: not an order."""
        return cls(**json.loads(line))


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of order `number`."""

    number: int
    result: Result

    def encode(self) -> bytes:
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Answer:
        """Raises ValueError, TypeError, KeyError: not an answer."""
        fields = json.loads(line)
        return cls(int(fields["number"]), Result(fields["result"]))
