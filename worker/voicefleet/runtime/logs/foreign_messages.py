"""Log messages of other libraries: the literal text in their source, without the values put into it.

``logger.warning(f"participant {identity} left")`` is logged as ``participant … left``. The text is what stands
literally in the source at the place of the call; what is made up at run time stays out, but for numbers.
"""

from __future__ import annotations

import ast
import linecache
import re
import textwrap
from functools import lru_cache
from typing import Any

_GAP = "…"
_METHODS = frozenset({"debug", "info", "warning", "warn", "error", "exception", "critical", "fatal", "log"})
_RUST = re.compile(r"[a-z0-9_]+(::[a-z0-9_]+)+")
_LINES = 20
"""Longest call that is looked at."""


class _Gap:
    """Stands for a value in a %-message."""

    def __str__(self) -> str:
        return _GAP

    __repr__ = __str__


def literal_message(path: str, line: int, args: Any) -> str:
    """The message logged at `line` of the file `path` as far as it stands there, with the numbers of its `args`. Empty
    when nothing of it does."""
    constant = _literal(path, line)
    if constant is None:
        return ""
    parts, exact = constant
    if not exact:
        return _GAP.join(parts).strip()
    if not args:
        return parts[0]
    try:
        given = args if isinstance(args, tuple) else (args,)
        return parts[0] % tuple(value if _harmless(value) else _Gap() for value in given)
    except (TypeError, ValueError, KeyError):
        return parts[0]


def _harmless(value: object) -> bool:
    """Numbers, and the places in Rust that LiveKit's native part names: ``livekit_ffi::server``."""
    return isinstance(value, (int, float)) or (isinstance(value, str) and _RUST.fullmatch(value) is not None)


@lru_cache(maxsize=1024)
def _literal(path: str, line: int) -> tuple[tuple[str, ...], bool] | None:
    """The literal parts of the message that is logged at `line` of the file `path`, and whether that is all of it."""
    first = linecache.getline(path, line)
    source = ""
    for number in range(line, line + _LINES):
        source += linecache.getline(path, number)
        try:
            tree = ast.parse(textwrap.dedent(source))
        except SyntaxError:
            continue
        return _message(tree) if first.strip() else None
    return None


def _message(tree: ast.AST) -> tuple[tuple[str, ...], bool] | None:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in _METHODS:
            continue
        place = 1 if node.func.attr == "log" else 0
        if len(node.args) <= place:
            continue
        return _parts(node.args[place])
    return None


def _parts(message: ast.expr) -> tuple[tuple[str, ...], bool] | None:
    if isinstance(message, ast.Constant) and isinstance(message.value, str):
        return (message.value,), True
    if isinstance(message, ast.JoinedStr):
        parts = [""]
        for value in message.values:
            if isinstance(value, ast.Constant):
                parts[-1] += str(value.value)
            else:
                parts.append("")
        return tuple(parts), False
    return None
