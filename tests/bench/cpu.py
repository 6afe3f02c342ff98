"""CPU time of a process and of everything below it, from /proc."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and everything below it so far."""
    return cpu_seconds_of(family(pid))


def family(pid: int) -> list[int]:
    """A process and everything below it."""
    below = _children()
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        todo += below.get(one, [])
        found.append(one)
    return found


def cpu_seconds_of(pids: Iterable[int]) -> float:
    """User and system time of these processes, and of those that they have waited for: what a process used moves to
    its parent when it ends, so the sum only grows."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            ticks += sum(int(field) for field in _stat(pid)[11:15])
    return ticks / _TICKS_PER_S


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                found.setdefault(int(_stat(int(folder.name))[1]), []).append(int(folder.name))
    return found


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
