"""Which of two tiers is better, looked at once, after a number of calls that was said beforehand. Pure.

Newcombe's interval for the difference of two shares (method 10 of "Interval estimation for the difference between
independent proportions", 1998), of Wilson's for each. One look at a given number of calls tells more of them than
looks at all times do: see `sequential`.
"""

from __future__ import annotations

import math
from statistics import NormalDist


def difference(
    stable_good: int, stable_total: int, canary_good: int, canary_total: int, error: float
) -> tuple[float, float]:
    """The true difference, canary less stable, lies between these, but with a chance of about `error`; everything while
    one of them has no call. Shares of calls, -1.0 to 1.0."""
    if not stable_total or not canary_total:
        return -1.0, 1.0
    z = NormalDist().inv_cdf(1 - error / 2)
    a, b = stable_good / stable_total, canary_good / canary_total
    (low_a, high_a), (low_b, high_b) = _wilson(a, stable_total, z), _wilson(b, canary_total, z)
    return b - a - math.hypot(b - low_b, high_a - a), b - a + math.hypot(high_b - b, a - low_a)


def _wilson(ratio: float, total: int, z: float) -> tuple[float, float]:
    middle = ratio + z * z / (2 * total)
    spread = z * math.sqrt(ratio * (1 - ratio) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return (middle - spread) / scale, (middle + spread) / scale
