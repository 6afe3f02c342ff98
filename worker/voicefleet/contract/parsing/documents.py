"""YAML and JSON that somebody wrote for us: one way to read a text, whatever it holds.

A text may be nested so deep that a parser gives up, or blow up by aliases; it may hold a date that there is not, or a
number too long to be one. Each is one `ConfigError`.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from voicefleet.contract.errors import ConfigError

DEEPEST = 64
MOST_NODES = 200_000
"""Values in one document, those behind aliases counted each time."""


def parse_yaml(text: str, *, field: str, value: object | None = None) -> Any:
    """The value in `text`.

    Args:
        field: the file, or the option that names it.
        value: what the option says.

    Raises:
        ConfigError: not YAML, nested too deep, too large, with a field twice, or with a value that there is not.
    """
    try:
        refusal = _refusal(text)
        if refusal:
            raise ConfigError(
                refusal,
                field=field,
                value=value,
                hint="Keep one of them." if " twice, " in refusal else "Write it flatter.",
            )
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        what = f"not YAML {_place(getattr(error, 'problem_mark', None))}".rstrip()
        raise ConfigError(what, field=field, value=value, hint="Correct the file.") from error
    except (ValueError, TypeError, OverflowError) as error:
        # PyYAML makes dates and numbers by itself, and says nothing of where.
        what = f"has a date or number that there is not ({error})"
        raise ConfigError(what, field=field, value=value, hint="Correct it, or write it in quotes.") from error


def parse_json(text: str | bytes, *, field: str, value: object | None = None) -> Any:
    """The value in `text`. Raises ConfigError: not JSON, or nested too deep."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ConfigError("is nested too deep", field=field, value=value, hint="Write it flatter.") from error
    except ValueError as error:
        line = getattr(error, "lineno", None)
        place = f" at line {line}" if line else ""
        raise ConfigError(f"not JSON{place}", field=field, value=value, hint="Correct the file.") from error


class _Keys:
    """The keys of one mapping, as they come."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._value_next = False

    def repeated(self, event: yaml.NodeEvent) -> str:
        """The key that `event`, the next node in the mapping, is once more; empty: it is none. YAML's own reader takes
        the last one, and says nothing."""
        is_key, self._value_next = not self._value_next, not self._value_next
        if not is_key or not isinstance(event, yaml.ScalarEvent) or event.value == "<<":
            return ""
        repeated = event.value in self._seen
        self._seen.add(event.value)
        return str(event.value) if repeated else ""


def _place(mark: Any) -> str:
    return f"at line {mark.line + 1}" if mark else ""


def _refusal(text: str) -> str:
    """Why the document is not to be built; empty when it may be. The events come one by one, at any depth."""
    sizes: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = []
    keys: list[_Keys | None] = []
    """Of each open collection; None: a sequence."""
    total = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.NodeEvent) and keys and keys[-1] is not None and (name := keys[-1].repeated(event)):
            return f"has the field {name} twice, {_place(event.start_mark)}"
        if isinstance(event, yaml.CollectionStartEvent):
            keys.append(_Keys() if isinstance(event, yaml.MappingStartEvent) else None)
        elif isinstance(event, yaml.CollectionEndEvent):
            keys.pop()
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, total))
            total += 1
            if len(open_) > DEEPEST:
                return f"is nested deeper than {DEEPEST} levels, {_place(event.start_mark)}"
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_):
                return f"has a value that holds itself, {_place(event.start_mark)}"
            # An anchor that there is not is refused when the document is built.
            total += sizes.get(event.anchor or "", 1)
        if total > MOST_NODES:
            return f"has more than {MOST_NODES} values"
    return ""
