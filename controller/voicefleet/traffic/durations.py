"""How long calls last: laws fitted to real calls, to draw from.

Pure: the only randomness is the generator passed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voicefleet.contract.errors import ConfigError

Seconds = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CallLaw:
    """A lognormal body above `short_s`, and a share of calls that end before it (a hang-up, a wrong number).

    The default is the fit to the 34,625 calls that reached an agent at Technion's "Anonymous Bank" in October 1999:
    lognormal with mu 4.77 and sigma 0.916 above 10 s (Kolmogorov-Smirnov distance 0.031, against 0.097 for an
    exponential), and 4.8 % of calls of at most 10 s.
    """

    mu: float = 4.77
    sigma: float = 0.916
    short_share: float = 0.048
    short_s: float = 10.0

    @property
    def mean_s(self) -> float:
        """Mean duration in seconds."""
        cut = (math.log(self.short_s) - self.mu) / self.sigma
        above = _phi(self.sigma - cut) / _phi(-cut)
        body = math.exp(self.mu + self.sigma**2 / 2) * above
        return self.short_share * self.short_s / 2 + (1 - self.short_share) * body

    def scaled_to(self, mean_s: float) -> CallLaw:
        """The same shape with another mean, in seconds, > 0."""
        check_positive("mean_s", mean_s, "Give a mean duration above 0 seconds, e.g. 180.")
        factor = mean_s / self.mean_s
        return CallLaw(self.mu + math.log(factor), self.sigma, self.short_share, self.short_s * factor)

    def draw(self, count: int, rng: np.random.Generator) -> Seconds:
        """Durations of `count` calls, shape ``(count,)``, seconds, all above 0."""
        short = rng.random(count) < self.short_share
        place = rng.random(count)
        # The body by inversion above the cut, so that one uniform makes one call whatever the parameters are.
        cut = _phi((math.log(self.short_s) - self.mu) / self.sigma)
        body = np.exp(self.mu + self.sigma * _normal_quantile(cut + place * (1 - cut)))
        return np.asarray(np.where(short, np.maximum(place, 1e-3) * self.short_s, body), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class ExponentialLaw:
    """Durations without memory: the textbook's law, for comparisons with formulas."""

    mean_s: float

    def draw(self, count: int, rng: np.random.Generator) -> Seconds:
        """Durations of `count` calls, shape ``(count,)``, seconds."""
        return rng.exponential(self.mean_s, size=count)


@dataclass(frozen=True, slots=True)
class FixedLaw:
    """Every call lasts the same."""

    mean_s: float

    def draw(self, count: int, rng: np.random.Generator) -> Seconds:
        """Shape ``(count,)``, seconds; `rng` is not used."""
        return np.full(count, self.mean_s)


Law = CallLaw | ExponentialLaw | FixedLaw


def check_positive(field: str, value: float, hint: str) -> None:
    """Raises `ConfigError` unless `value` is a finite number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise ConfigError("must be a finite number above 0", field=field, value=value, hint=hint)


def _phi(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))


def _normal_quantile(p: Seconds) -> Seconds:
    """Inverse of the normal distribution, by Acklam's rational approximation (relative error below 1.2e-9)."""
    a = (
        -39.69683028665376,
        220.9460984245205,
        -275.9285104469687,
        138.3577518672690,
        -30.66479806614716,
        2.506628277459239,
    )
    b = (-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572)
    c = (
        -0.007784894002430293,
        -0.3223964580411365,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    )
    d = (0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416)
    p = np.clip(p, 1e-300, 1 - 1e-16)
    tail = np.minimum(p, 1 - p)
    q = np.sqrt(-2 * np.log(tail))
    outer = np.polyval(c, q) / np.polyval((*d, 1.0), q)
    outer = np.where(p < 0.5, outer, -outer)
    r = (p - 0.5) ** 2
    inner = np.polyval(a, r) * (p - 0.5) / np.polyval((*b, 1.0), r)
    return np.asarray(np.where(tail < 0.02425, outer, inner), dtype=np.float64)
