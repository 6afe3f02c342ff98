"""Which of two streams of good and bad calls is better, looked at as often as one likes. Pure.

The test of Turner, Ly and Grünwald ("Generic E-variables for exact sequential k-sample tests that allow for optional
stopping", 2024) and the interval of Turner and Grünwald ("Exact anytime-valid confidence intervals for contingency
tables and beyond", 2023). Calls are taken in blocks: one of the canary, and of the stable tier as many as its share is
larger. For each difference that there may be, an e-value grows when the blocks speak against it; by Ville's inequality
it ever reaches 1/error with a chance of at most `error` where that is the true difference. So the interval of the
differences that never did holds at all times together, however often it is looked at and whenever one stops. That calls
end in another order than they began changes nothing, as each stream is taken by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STEP = 0.01
"""Differences are told apart to a hundredth."""
PRIOR = 0.5
"""Good and bad calls that are thought of before the first: Jeffreys'."""
_HALVINGS = 30
_EDGE = 1e-9

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both streams, and by how much the canary is better. Ratios and differences are shares of calls, -1.0 to 1.0."""

    stable_good: int
    stable_total: int
    canary_good: int
    canary_total: int
    low: float
    """The true difference lies between `low` and `high`, canary less stable, and is neither of them."""
    high: float
    error: float
    """The chance that it ever does not."""

    @property
    def difference(self) -> float:
        """As counted; 0.0 while one of them has no call."""
        if not self.stable_total or not self.canary_total:
            return 0.0
        return self.canary_good / self.canary_total - self.stable_good / self.stable_total

    def __str__(self) -> str:
        return (
            f"{self.canary_good} of {self.canary_total} calls good, the stable tier {self.stable_good} of "
            f"{self.stable_total}: {_points(self.difference)} points, between {_points(self.low)} and "
            f"{_points(self.high)} with {1 - self.error:.0%} certainty"
        )


def _points(share: float) -> str:
    return f"{100 * share:+.0f}"


def compare(stable: Sequence[bool], canary: Sequence[bool], *, stable_per_canary: int, error: float) -> Comparison:
    """The calls of both, each in the order in which they ended; True: a good one.

    Args:
        stable_per_canary: calls of the stable version in a block; the same for as long as the comparison lasts.
    """
    blocks = min(len(stable) // stable_per_canary, len(canary))
    good_a = np.array(stable[: blocks * stable_per_canary], dtype=float).reshape(blocks, stable_per_canary).sum(axis=1)
    good_b = np.array(canary[:blocks], dtype=float)
    differences = np.round(np.arange(-1 + STEP, 1 - STEP / 2, STEP), 6)
    kept = differences[_most_evidence(good_a, good_b, stable_per_canary, differences) < math.log(1 / error)]
    # The bounds themselves are ruled out: what is told apart by a hundredth is rounded outwards.
    low, high = (max(-1.0, kept[0] - STEP), min(1.0, kept[-1] + STEP)) if len(kept) else (-1.0, 1.0)
    low, high = round(float(low), 6), round(float(high), 6)
    return Comparison(sum(stable), len(stable), sum(canary), len(canary), low, high, error)


def _most_evidence(good_a: Array, good_b: Array, n_a: int, differences: Array) -> Array:
    """For each difference the largest logarithm of its e-value so far."""
    if not len(good_a):
        return np.zeros_like(differences)
    before = np.arange(len(good_a))
    # What is expected of the next block is learned from those before it alone.
    p_a = ((np.cumsum(good_a) - good_a + PRIOR) / (before * n_a + 2 * PRIOR))[:, None]
    p_b = ((np.cumsum(good_b) - good_b + PRIOR) / (before + 2 * PRIOR))[:, None]
    null_a = _closest(p_a, p_b, n_a, differences)
    null_b = null_a + differences
    gained = _gain(good_a[:, None], n_a, p_a, null_a) + _gain(good_b[:, None], 1, p_b, null_b)
    most: Array = np.maximum(np.cumsum(gained, axis=0).max(axis=0), 0.0)
    return most


def _gain(good: Array, n: int, p: Array, null: Array) -> Array:
    return good * np.log(p / null) + (n - good) * np.log((1 - p) / (1 - null))


def _closest(p_a: Array, p_b: Array, n_a: int, differences: Array) -> Array:
    """Of the pairs (t, t + difference) the one closest to (p_a, p_b), by the Kullback-Leibler divergence of a block:
    its t. With it the e-value's expectation is at most 1 for every pair with that difference."""
    low = np.broadcast_to(np.maximum(0.0, -differences) + _EDGE, (len(p_a), len(differences))).copy()
    high = np.broadcast_to(np.minimum(1.0, 1 - differences) - _EDGE, low.shape).copy()
    for _ in range(_HALVINGS):
        t = (low + high) / 2
        u = t + differences
        rises = n_a * (t - p_a) / (t * (1 - t)) + (u - p_b) / (u * (1 - u)) > 0
        high = np.where(rises, t, high)
        low = np.where(rises, low, t)
    closest: Array = (low + high) / 2
    return closest
