"""What a worker's main process tells its jobs of its ladder, and how it is written on their channel. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Level:
    """Calls are served `steps` below the tier that they asked for; `why`: in words, empty at the very start."""

    steps: int = 0
    why: str = ""


def encode(level: Level) -> bytes:
    """One line of JSON."""
    return json.dumps(asdict(level), separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Level:
    """The level of `line`. Raises `ValueError`: it is none."""
    try:
        found = json.loads(line)
        steps, why = found["steps"], found["why"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError("not a level") from error
    if not isinstance(steps, int) or not isinstance(why, str) or steps < 0:
        raise ValueError("not a level")
    return Level(steps, why)
