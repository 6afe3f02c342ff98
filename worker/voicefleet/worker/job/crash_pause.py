"""How long a call waits for its next job after one that failed."""

from __future__ import annotations

_SOON_S = 10.0
_LONGEST_PAUSE_S = 8.0
"""Below the 10 s after which its caller counts as waiting in silence."""


def crash_pause_s(lived_s: float, epoch: int) -> float:
    """How long a session that failed keeps its call before the next job gets it.

    One that fails as soon as it starts (a wrong key, a realtime model that is down) fails for the next job too: without
    a pause a worker would start job after job as fast as it can. `epoch`: the number of jobs that have had the call.
    """
    return 0.0 if lived_s >= _SOON_S or epoch <= 2 else min(_LONGEST_PAUSE_S, 2.0 ** (epoch - 3))
