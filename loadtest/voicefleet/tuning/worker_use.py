"""What the fleet's workers use: processor time and memory of their processes, all of them, models included, from /proc."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from voicefleet.runtime.supervisor.guard import tagged_pids
from voicefleet.runtime.supervisor.lifeline import lifeline

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_COMMAND = ("voicefleet.cli.app", "worker")


def worker_processes() -> tuple[int, ...]:
    """The processes of all workers that this process's fleet has started, and everything below them."""
    mains = [pid for pid in tagged_pids(lifeline().tag) if _is_worker(pid)]
    below = _children()
    found: dict[int, None] = {}
    while mains:
        pid = mains.pop()
        if pid not in found:
            found[pid] = None
            mains += below.get(pid, [])
    return tuple(found)


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes so far, and of those that they have waited for."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError, IndexError):
            ticks += sum(int(number) for number in _stat(pid)[11:15])
    return ticks / _TICKS_PER_S


def memory_bytes(pids: Iterable[int]) -> int:
    """Memory of these processes; what several share counts once (PSS)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, IndexError, ValueError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def _is_worker(pid: int) -> bool:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        return any(tuple(words[n : n + 2]) == _COMMAND for n in range(len(words)))
    return False


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                found.setdefault(int(_stat(int(folder.name))[1]), []).append(int(folder.name))
    return found


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
