"""How old a process is, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

from voicefleet.runtime.supervisor.guard import start_time


def process_age_s(pid: int) -> float:
    """Seconds since the process began; 0 when there is no such process, or /proc does not tell."""
    return age_s(start_time(pid) or "")


def age_s(started: str) -> float:
    """Seconds since a process began, from its `start_time`; 0 where that is not known."""
    try:
        uptime_s = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
        return max(0.0, uptime_s - int(started) / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError):
        return 0.0
