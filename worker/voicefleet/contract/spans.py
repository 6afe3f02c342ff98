"""Spans of traces as values, and the W3C trace context that carries them from one process to the next.

Job processes send these values to their worker's main process, which alone exports: a job that is killed takes no
unsent span with it. A span never carries what was said, nor a name that a front end chose.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

_TRACEPARENT = re.compile(r"^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16

SpanKind = Literal["internal", "server", "producer", "consumer", "client"]
Attribute = str | int | float | bool


@dataclass(frozen=True, slots=True)
class TraceContext:
    """One span's place: W3C `traceparent`, version 00. `trace` has 32 hex digits, `span` 16."""

    trace: str
    span: str
    sampled: bool = True

    @property
    def header(self) -> str:
        """The value of the `traceparent` header."""
        return f"00-{self.trace}-{self.span}-{'01' if self.sampled else '00'}"

    @classmethod
    def parse(cls, header: str) -> TraceContext | None:
        """None for what is no such header: by the standard it is ignored."""
        found = _TRACEPARENT.match(header.strip())
        if found is None:
            return None
        version, trace, span, flags, more = found.groups()
        if version == "ff" or (version == "00" and more) or trace == _NO_TRACE or span == _NO_SPAN:
            return None
        return cls(trace, span, bool(int(flags, 16) & 1))


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
