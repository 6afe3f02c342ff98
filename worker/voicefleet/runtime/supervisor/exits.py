"""How a process ended, in words, and the last lines that it wrote."""

from __future__ import annotations

import re
from pathlib import Path

TAIL_BYTES = 16_384


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
