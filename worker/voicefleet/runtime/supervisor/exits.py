"""How a process ended, in words, and the last lines that it wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

TAIL_BYTES = 16_384
_OURS = "voicefleet: "
"""Begins what a command of ours says when it ends with code 2."""
_PYTHONS = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit|Warning)\b")
_LINES = 3


def describe_code(code: int | None) -> str:
    """``exited with 3``, ``was killed by signal 9``, or ``ended`` when the status is not known."""
    if code is None:
        return "ended"
    return f"was killed by signal {-code}" if code < 0 else f"exited with {code}"


def last_lines(path: Path, lines: int, *, most_bytes: int = TAIL_BYTES) -> list[str]:
    """The last lines of a file, none when it cannot be read. A word cut at the start is left out: it may be half a
    secret, which nothing would recognise."""
    try:
        with path.open("rb") as file:
            start = max(0, path.stat().st_size - most_bytes)
            file.seek(start)
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    if start:
        text = re.sub(r"^\S*", "", text)
    return text.strip().splitlines()[-lines:]


def last_words(lines: Sequence[str]) -> str:
    """Why a process ended, as far as its last lines tell: the message of a command of ours, else the error that ended
    a Python program, else the last three lines; of a structured log those that tell of an error, in plain words."""
    lines = [said for line in lines if line.strip() and (said := _plain(line.strip()))]
    ours = next((n for n in reversed(range(len(lines))) if lines[n].startswith(_OURS)), None)
    if ours is not None:
        return " ".join([lines[ours].removeprefix(_OURS), *lines[ours + 1 :]])
    if lines and _PYTHONS.match(lines[-1]):
        return lines[-1]
    return " | ".join(lines[-_LINES:])


def _plain(line: str) -> str:
    """A line of a log as it is; of a structured one what it says of an error, empty when it tells of none."""
    if not line.startswith("{"):
        return line
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return line
    if not isinstance(fields, dict) or "event" not in fields:
        return line
    if fields.get("level") not in ("error", "critical"):
        return ""
    error = str(fields.get("exception") or fields.get("error") or "").strip().splitlines()
    return f"{fields['event']}: {error[-1]}" if error else str(fields["event"])
