"""The session's userdata over a change of workers: the fields that are JSON, and that changed, go with the call.

The entrypoint of each job makes its own userdata: clients, locks and agents in it stay as it made them. Of a dict, a
pydantic model, a dataclass or any other object with attributes the fields that changed since the session started are
stored with the conversation, and written over the next job's.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

Fields = dict[str, str]
"""Name of a field -> its value as JSON text, which no later change of the value changes."""


def readable_fields(userdata: Any) -> Fields:
    """The fields of `userdata` that are JSON; none for what has no fields."""
    found: Fields = {}
    for name, value in _items(userdata):
        try:
            text = json.dumps(value, allow_nan=False)
            if json.loads(text) == value:
                found[name] = text
        except Exception:  # no JSON, or an object of the team's that raises
            continue
    return found


class UserdataChanges:
    """What changed in one session's userdata, over all jobs that its call had.

    Args:
        read: gives the userdata; None where the session has none.
        refused: told once that a field could not be written.
    """

    def __init__(self, read: Callable[[], Any], refused: Callable[[], None]) -> None:
        self._read = read
        self._refused = refused
        self._at_start = readable_fields(read())
        self._before: set[str] = set()

    def changed(self) -> dict[str, Any]:
        """Fields to store: those that differ from what the entrypoint made, and those that another job changed."""
        now = readable_fields(self._read())
        return {
            name: json.loads(text)
            for name, text in now.items()
            if name in self._before or self._at_start.get(name) != text
        }

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Write what another job stored. A field that this job's userdata does not have is left out."""
        userdata = self._read()
        there = {name for name, _ in _items(userdata)}
        for name, value in stored.items():
            try:
                if isinstance(userdata, dict):
                    userdata[name] = value
                elif name in there:
                    setattr(userdata, name, value)
                else:
                    continue
                self._before.add(name)
            except Exception:  # frozen, or a setter of the team's that raises
                self._refused()


def _items(userdata: Any) -> list[tuple[str, Any]]:
    if userdata is None or isinstance(userdata, str | bytes | int | float | type):
        return []
    if isinstance(userdata, dict):
        return [(name, value) for name, value in userdata.items() if isinstance(name, str)]
    if dataclasses.is_dataclass(userdata):
        names = [field.name for field in dataclasses.fields(userdata)]
    else:
        names = [name for name in getattr(userdata, "__dict__", {}) if not name.startswith("_")]
    return [(name, getattr(userdata, name)) for name in names if hasattr(userdata, name)]
