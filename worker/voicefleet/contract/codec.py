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
    for name in _names(type(value)):
        item = getattr(value, name)
        fields[name] = item.value if isinstance(item, enum.Enum) else item
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
        names = _names(kind)
        return kind(**{name: value for name, value in raw.items() if name in names})
    except (ValueError, TypeError, RecursionError) as error:
        raise UnknownStateError(f"unreadable {kind.__name__} ({type(error).__name__})") from error


_KNOWN: dict[type, frozenset[str]] = {}


def _names(kind: type) -> frozenset[str]:
    """The fields of a dataclass: looked up once, because a controller reads thousands of values a second."""
    names = _KNOWN.get(kind)
    if names is None:
        names = _KNOWN[kind] = frozenset(field.name for field in dataclasses.fields(kind))
    return names


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"not JSON: {type(value).__name__}")
