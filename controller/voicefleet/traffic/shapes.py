"""Shapes of a load test's traffic: rates over time that are chosen, not found.

Each takes the times of its steps (shape ``(n,)``, seconds) and returns calls per second at each; `arrivals_under` draws
calls from them. Pure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rates = NDArray[np.float64]


def evenly(rate: float, count: int) -> Rates:
    """Offsets of `count` calls at equal distances, the first at 0."""
    return np.arange(count) / rate


def ramp(times: Rates, begin: float, end: float, span_s: float) -> Rates:
    """From one rate to another in a straight line."""
    return np.asarray(begin + (end - begin) * times / span_s)


def stairs(times: Rates, begin: float, end: float, steps: int, span_s: float) -> Rates:
    """From one rate to another in `steps` equal stairs of equal length, both rates among them; `steps` >= 2."""
    stair = np.minimum(times // (span_s / steps), steps - 1)
    return np.asarray(begin + (end - begin) * stair / (steps - 1))


def spike(times: Rates, rate: float, factor: float, at_s: float, for_s: float) -> Rates:
    """A rate that is `factor` times as high for `for_s`, from `at_s` on."""
    return np.where((times >= at_s) & (times < at_s + for_s), rate * factor, rate)
