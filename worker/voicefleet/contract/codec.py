"""JSON values with a schema version, shared by everything that voicefleet keeps in Redis.

During an upgrade version N and N-1 share live calls, so a reader ignores fields it does not know and refuses only
a value whose version is newer than it can read.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from typing import Any, TypeVar

from voicefleet.contract.errors import UnknownStateError

SCHEMA_VERSION = 1

T = TypeVar("T")


def dump(value: Any) -> str:
    """One line of JSON of a flat frozen dataclass, with its schema version under ``v``."""
    fields = {"v": SCHEMA_VERSION}
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        fields[field.name] = item.value if isinstance(item, enum.Enum) else item
    return json.dumps(fields, separators=(",", ":"), sort_keys=True, default=_plain)


def load(kind: type[T], text: str | bytes) -> T:
    """The value of `kind` in `text`.

    Raises:
        UnknownStateError: the text is not such a value; what it describes is unknown, not absent.
    """
    try:
        raw = json.loads(text)
        if not isinstance(raw, dict) or int(raw.get("v", 0)) > SCHEMA_VERSION:
            raise ValueError("not a value of a version this release reads")
        known = {f.name: raw[f.name] for f in dataclasses.fields(kind) if f.name in raw}  # type: ignore[arg-type]
        return kind(**known)
    except (ValueError, TypeError) as error:
        raise UnknownStateError(f"unreadable {kind.__name__}: {error}") from error


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"not JSON: {type(value).__name__}")
