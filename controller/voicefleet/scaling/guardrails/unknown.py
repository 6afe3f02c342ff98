"""Unknown: a failed read is not zero. Keep the larger of what was wanted last and what is there; only calls that are
there for sure make it grow."""

from __future__ import annotations


def hold_unknown(last: int | None, supply: int) -> int:
    """What to want while the need cannot be told: never less than before, never less than what serves calls."""
    return max(last or 0, supply)
