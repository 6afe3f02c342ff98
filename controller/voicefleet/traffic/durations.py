"""How long calls last: laws fitted to real calls, to draw from.

Pure: the only randomness is the generator passed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

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
    inverse = NormalDist().inv_cdf
    return np.array([inverse(share) for share in np.clip(p, 1e-300, 1 - 1e-16).tolist()])
