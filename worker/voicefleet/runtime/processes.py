"""Facts about processes, from /proc."""

from __future__ import annotations

import os
from pathlib import Path


def process_start_ticks(pid: int) -> int | None:
    """When the process began, in clock ticks since the machine's boot; None when there is no such process.

    With the pid it names one process for good: a pid alone is used again.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    # A zombie has ended; it only waits for its parent.
    return None if fields[0] in ("Z", "X") else int(fields[19])


def process_is_alive(pid: int) -> bool:
    return process_start_ticks(pid) is not None


def process_age_s(pid: int) -> float:
    """Seconds since the process began; 0 when there is no such process."""
    ticks = process_start_ticks(pid)
    if ticks is None:
        return 0.0
    uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    return max(0.0, uptime - ticks / os.sysconf("SC_CLK_TCK"))
