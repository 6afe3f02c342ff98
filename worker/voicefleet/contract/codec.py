"""JSON values with a schema version, shared by everything that voicefleet keeps in Redis.

A schema version says what the fields mean. Releases that share one share live calls during an upgrade: a reader takes
its default for a field that it misses, and ignores one that it does not know. A value of any other schema version,
older or newer, is unknown: it is never read as if it were of this one.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from typing import Any, TypeVar, get_type_hints

from voicefleet.contract.errors import UnknownStateError

SCHEMA_VERSION = 2

T = TypeVar("T")


def dump(value: Any) -> str:
    """One line of JSON of a frozen dataclass, with its schema version under ``v``. Its fields may be dataclasses."""
    fields = {"v": SCHEMA_VERSION}
    for name in names_of(type(value)):
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
        if not isinstance(raw, dict) or raw.get("v") != SCHEMA_VERSION:
            raise ValueError("not a value of the schema version of this release")
        return _build(kind, raw)
    except (ValueError, TypeError, RecursionError) as error:
        raise UnknownStateError(f"unreadable {kind.__name__} ({type(error).__name__})") from error


def names_of(kind: type) -> tuple[str, ...]:
    """The names of the fields of a dataclass."""
    return tuple(_fields(kind))


def _build(kind: type[T], raw: dict[str, Any]) -> T:
    fields = _fields(kind)
    found = {}
    for name, value in raw.items():
        if name in fields:
            inner = fields[name]
            found[name] = _build(inner, value) if inner is not None and isinstance(value, dict) else value
    return kind(**found)


_KNOWN: dict[type, dict[str, Any]] = {}


def _fields(kind: type) -> dict[str, Any]:
    """Name -> its dataclass, or None when it is plain: looked up once, because a controller reads thousands of values
    a second."""
    fields = _KNOWN.get(kind)
    if fields is None:
        hints = get_type_hints(kind)
        named = ((field.name, hints[field.name]) for field in dataclasses.fields(kind))
        fields = _KNOWN[kind] = {name: hint if dataclasses.is_dataclass(hint) else None for name, hint in named}
    return fields


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"not JSON: {type(value).__name__}")
