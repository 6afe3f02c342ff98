"""Rate: only so many workers more or fewer in one decision: one wrong number must not empty a pool, or flood it."""

from __future__ import annotations

import math

from voicefleet.scaling.decision import Reason

UP_SHARE, UP_LEAST = 1.0, 10
DOWN_SHARE, DOWN_LEAST = 0.1, 5


def limit_rate(wanted: int, supply: int) -> tuple[int, Reason | None]:
    """`wanted` within reach of `supply`: at most twice as many or ten more, at most a tenth or five fewer."""
    most = supply + max(UP_LEAST, math.ceil(UP_SHARE * supply))
    least = supply - max(DOWN_LEAST, math.floor(DOWN_SHARE * supply))
    if wanted > most:
        return most, Reason.RATE
    if wanted < least:
        return least, Reason.RATE
    return wanted, None
