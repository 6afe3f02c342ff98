"""Leader: a controller that just began knows nothing; for a while it keeps at least what it found."""

from __future__ import annotations

LEARN_S = 60.0
"""As long as the shortest time constant of the arrivals: then it can tell a quiet pool from one it has not seen."""


def keep_found(wanted: int, found: int, since_s: float, now_s: float) -> int:
    """`wanted`, but not less than `found` workers until `LEARN_S` after `since_s`."""
    return max(wanted, found) if now_s - since_s < LEARN_S else wanted
