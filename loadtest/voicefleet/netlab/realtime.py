"""Priority before ordinary processes, so that a busy machine is not mistaken for a bad network."""

from __future__ import annotations

import contextlib
import os

SPEAKING_PRIORITY = 10
"""Of what talks over a link: below the emulator's, above everything ordinary."""


def become_realtime(priority: int) -> bool:
    """Run this process, and what it starts, before every ordinary one from now on; whether we were let."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError:
        with contextlib.suppress(OSError):
            os.nice(-20)
        return False
    return True
