"""Stored values as they come back from Redis: what cannot be read is unknown, and logged once for each kind."""

from __future__ import annotations

from typing import TypeVar

from voicefleet.contract import codec
from voicefleet.contract.errors import UnknownStateError
from voicefleet.runtime.logs.setup import get_logger

T = TypeVar("T")

log = get_logger(__name__)

_logged: set[str] = set()


def read_value(kind: type[T], text: str | bytes | None) -> T | None:
    """The value of `kind` in `text`. None: there is none, or it is of another schema version or unreadable."""
    if not text:
        return None
    try:
        return codec.load(kind, text)
    except UnknownStateError as error:
        log_unreadable(kind.__name__, error)
        return None


def log_unreadable(kind: str, error: UnknownStateError) -> None:
    """Log, once in this process for each `kind`, that Redis holds values that this release does not read."""
    if kind not in _logged:
        _logged.add(kind)
        log.warning(
            "Redis holds a value that this release cannot read; it counts as unknown", kind=kind, error=str(error)
        )
