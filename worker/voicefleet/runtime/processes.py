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


def age_of_ticks_s(start_ticks: int) -> float:
    """Seconds since a process began, from its start in clock ticks since the machine's boot."""
    uptime_s = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    return max(0.0, uptime_s - start_ticks / os.sysconf("SC_CLK_TCK"))


def process_age_s(pid: int) -> float:
    """Seconds since the process began; 0 when there is no such process."""
    ticks = process_start_ticks(pid)
    return 0.0 if ticks is None else age_of_ticks_s(ticks)
