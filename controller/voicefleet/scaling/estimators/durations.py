"""Durations of calls: a life table learned from calls that ended and from the ages of those that did not.

In each bin of age the hazard is the ends seen over the time that calls spent there, both fading alike.
Calls still in progress count as long as they last, so that long calls are not missed because they have not ended yet,
and neither the beginning of the record nor its fading biases the estimate. No family of distributions is assumed; the
prior, worth `PRIOR_CALLS` calls, is the lognormal fitted to real call-centre calls (mu 4.77, sigma 0.916, Technion
1999).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

PRIOR_MU, PRIOR_SIGMA, PRIOR_CALLS = 4.77, 0.916, 40.0
KEPT_CALLS = 5_000.0
"""The estimate follows the last so many calls."""

EDGES: Vector = np.asarray(
    np.concatenate([np.arange(0.0, 300.0, 10.0), 300.0 * 1.08 ** np.arange(50.0)]), dtype=np.float64
)
"""Bins of age in seconds; the last one is open."""
_WIDTHS: Vector = np.asarray(np.diff(EDGES, append=EDGES[-1] * 1.5), dtype=np.float64)

AGE_STEP_S, AGE_STEPS = 8.0, 450
_MIDDLES: Vector = np.asarray((np.arange(AGE_STEPS) + 0.5) * AGE_STEP_S, dtype=np.float64)


@cache
def _prior() -> tuple[Vector, Vector]:
    """Deaths and exposure of the prior in each bin."""
    z = (np.log(np.maximum(EDGES, 1e-9)) - PRIOR_MU) / PRIOR_SIGMA
    survival = np.array([0.5 * math.erfc(x / math.sqrt(2)) for x in z])
    after = np.append(survival[1:], 0.0)
    return PRIOR_CALLS * (survival - after), PRIOR_CALLS * _WIDTHS * (survival + after) / 2


@dataclass(frozen=True, slots=True, eq=False)
class DurationEstimator:
    """Attributes:
    ends: calls that ended in each bin of age, faded; shape ``(len(EDGES),)``.
    exposure_s: call-seconds spent in each bin, faded alike.
    hazard: ends per second of the calls in each bin of age.
    """

    ends: Vector
    exposure_s: Vector
    hazard: Vector

    @classmethod
    def prior(cls) -> DurationEstimator:
        return cls.of(np.zeros(EDGES.size), np.zeros(EDGES.size))

    @classmethod
    def of(cls, ends: Vector, exposure_s: Vector) -> DurationEstimator:
        """The estimate that follows from what was seen, and the prior."""
        prior_ends, prior_exposure = _prior()
        return cls(ends, exposure_s, (ends + prior_ends) / (exposure_s + prior_exposure))

    def learn(self, durations_s: Sequence[float], ages_s: Vector, dt_s: float) -> DurationEstimator:
        """With the durations of calls that ended in the last `dt_s` seconds, and the ages of all in progress now."""
        ends = self.ends + _histogram(np.asarray(durations_s, dtype=np.float64))
        exposure = self.exposure_s + dt_s * _histogram(ages_s)
        total = float(ends.sum())
        if total > KEPT_CALLS:
            ends, exposure = ends * (KEPT_CALLS / total), exposure * (KEPT_CALLS / total)
        return DurationEstimator.of(ends, exposure)

    def _cumulative(self, ages_s: Vector) -> Vector:
        """The integral of the hazard up to each age."""
        place = np.clip(np.searchsorted(EDGES, ages_s, side="right") - 1, 0, EDGES.size - 1)
        before = np.concatenate([[0.0], np.cumsum(self.hazard * _WIDTHS)[:-1]])
        return np.asarray(before[place] + self.hazard[place] * (ages_s - EDGES[place]))

    def survival(self, ages_s: Vector) -> Vector:
        """P(a call lasts longer than each of `ages_s`)."""
        return np.asarray(np.exp(-self._cumulative(ages_s)))

    @property
    def mean_s(self) -> float:
        """Mean duration in seconds."""
        cumulative = np.concatenate([[0.0], np.cumsum(self.hazard * _WIDTHS)])
        survival = np.exp(-cumulative)
        closed = float(np.sum((survival[:-2] - survival[1:-1]) / self.hazard[:-1]))
        return closed + float(survival[-2] / self.hazard[-1])

    def stay_probabilities(self, horizons_s: Sequence[float]) -> Vector:
        """P(still there after each horizon | age), shape ``(AGE_STEPS, len(horizons_s))``; see `age_counts`."""
        here = self._cumulative(_MIDDLES)
        there = [self._cumulative(_MIDDLES + h) for h in horizons_s]
        return np.exp(np.stack([here - t for t in there], axis=1))

    def stay_probabilities_in_equilibrium(self, horizons_s: Sequence[float]) -> Vector:
        """The same for a call of unknown age in a pool in balance: P(residual life > h) = 1 - E[min(S, h)] / E[S]."""
        mean = self.mean_s
        return np.array([max(0.0, 1.0 - g / mean) for g in self.restricted_means_s(horizons_s)])

    def restricted_means_s(self, horizons_s: Sequence[float]) -> tuple[float, ...]:
        """E[min(duration, h)] for each horizon: calls in progress after h from one arrival per second."""
        found = []
        for h in horizons_s:
            grid = np.linspace(0.0, h, 65)
            found.append(float(np.trapezoid(self.survival(grid), grid)))
        return tuple(found)


def age_counts(ages_s: Vector) -> NDArray[np.int64]:
    """How many calls there are in each step of age, shape ``(AGE_STEPS,)``; the last one holds all older ones."""
    steps = np.minimum((ages_s * (1.0 / AGE_STEP_S)).astype(np.int64), AGE_STEPS - 1)
    return np.bincount(steps, minlength=AGE_STEPS)


def _histogram(values_s: Vector) -> Vector:
    if not values_s.size:
        return np.zeros(EDGES.size)
    place = np.searchsorted(EDGES, np.maximum(values_s, 0.0), side="right") - 1
    return np.bincount(place, minlength=EDGES.size).astype(np.float64)
