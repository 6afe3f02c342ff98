"""Tails of sums of many small parts: P(N >= n) from three moments."""

from __future__ import annotations

from math import erfc, sqrt

_ROOT2 = sqrt(2.0)
_NO_SKEW = 1e-3


def upper_tail(n: float, mean: float, variance: float, third: float) -> float:
    """P(N >= n) for a count N, as that of the gamma law with the same mean, variance and skewness.

    The tail of the gamma law is that of a normal one after the cube root of Wilson and Hilferty (1931); half a unit
    corrects for whole numbers. For sums of Bernoulli, Poisson and negative binomial parts the result is within a factor
    of 1.5 of the exact one from 0.05 down to 1e-3 (see the tests), and above it rather than below.

    Args:
        n: the count asked for.
        mean, variance, third: cumulants of N; variance >= 0.
    """
    distance = n - 0.5 - mean
    if variance <= 1e-12:
        return 1.0 if distance <= 0 else 0.0
    sigma = sqrt(variance)
    z = distance / sigma
    if z > 40.0:
        return 0.0
    if z < -8.0:
        return 1.0
    skew = third / (variance * sigma)
    if -_NO_SKEW < skew < _NO_SKEW:
        return 0.5 * erfc(z / _ROOT2)
    inner = 0.5 * skew * z + 1.0
    if inner <= 0.0:  # beyond the end of the gamma law's range
        return 0.0 if skew < 0 else 1.0
    w = 6.0 / skew * (inner ** (1.0 / 3.0) - 1.0) + skew / 6.0
    return 0.5 * erfc(w / _ROOT2)
