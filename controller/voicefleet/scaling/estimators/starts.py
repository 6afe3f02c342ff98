"""Start times: from asking for a worker to its registration."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

KEPT = 48
"""Start times remembered; older ones say little of the present image and nodes."""
PRIOR_P50_S, PRIOR_SIGMA, PRIOR_WEIGHT = 40.0, 0.35, 4.0


@dataclass(frozen=True, slots=True)
class StartTimeEstimator:
    """A lognormal law fitted to the last start times, beside a prior worth four of them.

    Attributes:
        seen_s: the last start times in seconds, the newest last.
        prior_p50_s: median to assume before any was seen.
    """

    seen_s: tuple[float, ...] = ()
    prior_p50_s: float = PRIOR_P50_S
    _mean: float = field(init=False, compare=False, repr=False)
    _sigma: float = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # The prior's median is a guess, its spread is experience: data move the first at once, the second slowly.
        logs = [math.log(t) for t in self.seen_s]
        weight = PRIOR_WEIGHT / (1.0 + len(logs))
        mean = (sum(logs) + weight * math.log(self.prior_p50_s)) / (len(logs) + weight)
        spread = sum((x - mean) ** 2 for x in logs) + PRIOR_WEIGHT * PRIOR_SIGMA**2
        object.__setattr__(self, "_mean", mean)
        object.__setattr__(self, "_sigma", math.sqrt(spread / (len(logs) + PRIOR_WEIGHT)))

    def learn(self, times_s: Iterable[float]) -> StartTimeEstimator:
        """With more start times, in seconds; those that are no positive number are left out."""
        new = tuple(t for t in times_s if 0.0 < t < math.inf)
        return StartTimeEstimator((*self.seen_s, *new)[-KEPT:], self.prior_p50_s) if new else self

    def quantiles(self, zs: Iterable[float]) -> tuple[float, ...]:
        """Seconds within which a worker is ready, for normal quantiles `zs` (1.645: 95 % of the workers)."""
        return tuple(math.exp(self._mean + z * self._sigma) for z in zs)
