"""Figures with their 95 % intervals. Pure: the random numbers of the bootstrap come from a seed.

Tasks, never single calls, are drawn again: two calls of the same task are alike, and so are the turns of a call.
Counted one by one they would promise more than they can keep.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 1000
_Z95 = 1.959964
_TAIL = (1 - LEVEL) / 2

Draw = NDArray[np.int64]
"""Indices of groups, drawn with replacement."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval.

    Attributes:
        value: None: nothing was there to measure.
        lo, hi: None where the interval is unknown: less than two groups.
        n: how many events or calls the figure is of.
    """

    value: float | None
    lo: float | None
    hi: float | None
    n: int

    def interval(self) -> list[float | None]:
        """``[lo, hi]``, for JSON."""
        return [rounded(self.lo), rounded(self.hi)]


NOTHING = Estimate(None, None, None, 0)


def wilson(successes: int, n: int) -> Estimate:
    """A share with its Wilson score interval (Wilson 1927), which holds for few calls and near 0 and 1."""
    if n == 0:
        return NOTHING
    share, z2 = successes / n, _Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # At 0 and n one end is the share itself, but for rounding.
    return Estimate(share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)), n)


def draws(groups: int, *, seed: int = 0, resamples: int = RESAMPLES) -> list[Draw]:
    """`resamples` times as many groups as there are, with replacement; the same seed draws the same."""
    rng = np.random.default_rng(seed)
    return list(rng.integers(0, groups, size=(resamples, groups))) if groups else []


def quantile_estimate(groups: Sequence[Sequence[float]], q: float, *, seed: int = 0) -> Estimate:
    """Quantile `q` of all samples (linear between neighbours), with a percentile bootstrap over whole groups."""
    arrays = [np.asarray(group, dtype=np.float64) for group in groups if len(group)]
    if not arrays:
        return NOTHING

    def figure(chosen: Draw) -> float:
        return float(np.quantile(np.concatenate([arrays[i] for i in chosen]), q))

    return bootstrap(figure, len(arrays), sum(map(len, arrays)), seed=seed)


def mean_estimate(values: Sequence[float], *, seed: int = 0) -> Estimate:
    """The mean of one value a group, with a percentile bootstrap over groups."""
    if not values:
        return NOTHING
    array = np.asarray(values, dtype=np.float64)
    return bootstrap(lambda chosen: float(array[chosen].mean()), len(values), len(values), seed=seed)


def bootstrap(figure: Callable[[Draw], float], groups: int, n: int, *, seed: int = 0) -> Estimate:
    """`figure` of all groups, and the percentiles of what it is of groups drawn again.

    Args:
        figure: of the groups with these indices; NaN where they say nothing.
        n: samples behind it.
    """
    value = figure(np.arange(groups))
    if not math.isfinite(value):
        return NOTHING
    if groups < 2:
        return Estimate(value, None, None, n)
    lo, hi = interval([figure(chosen) for chosen in draws(groups, seed=seed)])
    return Estimate(value, lo, hi, n)


def interval(drawn: Sequence[float]) -> tuple[float | None, float | None]:
    """The middle 95 % of what was drawn; draws that say nothing (NaN) are left out."""
    known = [value for value in drawn if math.isfinite(value)]
    if not known:
        return None, None
    lo, hi = np.quantile(known, (_TAIL, 1 - _TAIL))
    return float(lo), float(hi)


def rounded(value: float | None, digits: int = 4) -> float | None:
    """For JSON and pages; None stays None."""
    return None if value is None else round(value, digits)
