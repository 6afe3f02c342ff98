"""The agent's tools as a note names them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_FREE = r"[^,()=?\n]{1,60}"
_KINDS = {"integer": r"-?[0-9]{1,6}", "number": r"-?[0-9]{1,6}(\.[0-9]{1,6})?", "boolean": "true|false"}


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a tool.

    Attributes:
        kind: its JSON type; ``string`` for anything that is none of integer, number and boolean.
        pattern: regular expression of its values, as they are written in a note.
        required: a call without it is not made: it is asked for.
    """

    name: str
    kind: str
    pattern: str
    required: bool

    def value(self, written: str) -> Any:
        """The value of what stands in a note."""
        if self.kind == "integer":
            return int(written)
        if self.kind == "number":
            return float(written)
        if self.kind == "boolean":
            return written == "true"
        return written


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the agent offers."""

    name: str
    arguments: tuple[Argument, ...]


def tools_of(functions: Iterable[Mapping[str, Any]], patterns: Mapping[str, str]) -> tuple[Tool, ...]:
    """The tools of OpenAI's form of them (``{"function": {"name", "parameters": JSON schema}}``).

    Args:
        patterns: argument -> regular expression of its values, where a tool's schema does not say it.
    """
    return tuple(_tool(entry["function"], patterns) for entry in functions)


def _tool(function: Mapping[str, Any], patterns: Mapping[str, str]) -> Tool:
    schema = function.get("parameters") or {}
    required = schema.get("required", ())
    return Tool(
        function["name"],
        tuple(
            _argument(name, one, name in required, patterns.get(name))
            for name, one in (schema.get("properties") or {}).items()
        ),
    )


def _argument(name: str, schema: Mapping[str, Any], required: bool, pattern: str | None) -> Argument:
    # ``int | None`` has its types in a list.
    either = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    first = either[0] if either else schema
    kind = first.get("type") if first.get("type") in _KINDS else "string"
    values = first.get("enum")
    known = "|".join(re.escape(str(value)) for value in values) if values else pattern
    return Argument(name, str(kind), known or _KINDS.get(str(kind), _FREE), required)
