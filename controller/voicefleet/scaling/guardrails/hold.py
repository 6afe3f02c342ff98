"""Hold: scale down only to the highest need of the last `scale_down_delay_s` seconds."""

from __future__ import annotations

Window = tuple[tuple[float, int], ...]
"""(time in seconds, need), oldest first; needs fall strictly, because an older and lower need can never be the max."""


def hold(window: Window, need: int, now_s: float, scale_down_delay_s: float) -> tuple[Window, int]:
    """Add `need` to the window; return the new window and the highest need in it.

    Invariant: the result is never below `need`, and equals the maximum of every need of the last `scale_down_delay_s`
    seconds.
    """
    recent = tuple((at, n) for at, n in window if now_s - at <= scale_down_delay_s and n > need)
    kept = (*recent, (now_s, need))
    return kept, kept[0][1]
