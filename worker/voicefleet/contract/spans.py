"""Spans of traces as values, and the W3C trace context that carries them from one process to the next.

Job processes send these values to their worker's main process, which alone exports: a job that is killed takes no
unsent span with it. A span never carries what was said, nor a name that a front end chose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

SpanKind = Literal["internal", "server", "producer", "consumer", "client"]
Attribute = str | int | float | bool


@dataclass(frozen=True, slots=True)
class TraceContext:
    """One span's place, as in a W3C `traceparent` of version 00. `trace` has 32 hex digits, `span` 16."""

    trace: str
    span: str
    sampled: bool = True

    @property
    def header(self) -> str:
        """The value of the `traceparent` header."""
        return f"00-{self.trace}-{self.span}-{'01' if self.sampled else '00'}"


def trace_of_room(room_sid: str) -> str:
    """The trace id, 32 hex digits, of the calls of the room with this LiveKit sid where no ticket and no front end gave
    them one: controllers and jobs come to the same, and need not tell each other."""
    return hashlib.sha256(f"voicefleet {room_sid}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """A span that has ended. Times are Unix time in nanoseconds; `parent` is a span's id, empty for a root."""

    name: str
    context: TraceContext
    start_ns: int
    end_ns: int
    parent: str = ""
    kind: SpanKind = "internal"
    attributes: Mapping[str, Attribute] = field(default_factory=dict, hash=False)
    error: str = ""
    """Why it failed, in words without personal data; empty when it did not."""
