"""How fast calls arrive: a bank of Bayesian filters with different time constants, weighed by how well each predicts.

Each filter is the discounted gamma-Poisson model (West and Harrison, Bayesian Forecasting, ch. 10): the rate is gamma
with `shape` and `time`, both of which fade with the filter's time constant, so its forecast of a count is negative
binomial. The weights follow Bayes' rule by the filters' forecasts of every tick, and a small share is handed back each
time (Herbster and Warmuth's fixed share), so that the fast filters take over within seconds when the rate jumps and
hardly widen the forecast while it does not. The mixture's error is thus calibrated by the data themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, lgamma, log

TIME_CONSTANTS_S = (60.0, 300.0, 1_800.0)
PRIOR_WEIGHTS = (0.02, 0.38, 0.6)
SWITCH_S = 1_800.0
"""Mean time between jumps of the rate that a filter with another time constant follows better."""
PEAK_TIME_CONSTANT_S = 3_600.0
PEAK_STEP_S = 10.0
"""Peakedness is measured on counts of so long: longer than it takes a batch of callers to dial."""
SPREAD_STEP_S = 40.0
"""Dispersion is measured on counts of so long, about as long as a worker takes to start: what is predicted is such a
count. Batches of ten seconds are not cut in two by it, and what a start time does not see does not matter."""
_KNOWN_S = 35.0
"""How much time the fastest filter must have seen before its forecasts are judged."""
_PRIOR_SHAPE, _PRIOR_TIME_S = 0.5, 1.0
_LEAST_WEIGHT = 1e-6
_LEAST_SHAPE = 1e-3
_GUESS_S = 10.0
_NEW_S = 60.0
_PRIOR_SPREAD_MASS = 8.0


@dataclass(frozen=True, slots=True)
class ArrivalEstimator:
    """Attributes:
    shapes, times_s: of each filter's gamma distribution of the rate; its mean is shape / time, calls per second.
    weights: how far each filter is believed; their sum is 1.
    peakedness: variance over mean of short counts, beyond what the changing rate explains; 1 for Poisson. The filters
        are weighed by it: a batch of callers is no jump of the rate.
    peak_mass: how many short counts `peakedness` rests on.
    bin_calls, bin_s: the short count that is not complete yet.
    dispersion: variance over mean of longer counts, beyond what was known of the rate before they began: jumps of the
        rate are in it. Forecasts are widened by it. A pool that knows nothing expects some: its first minutes are the
        worst time to learn that there are.
    spread_mass: how many longer counts `dispersion` rests on.
    long_calls, long_s: the longer count that is not complete yet.
    long_rate, long_variance: moments of the rate when it began; a rate below 0: not to be judged.
    """

    shapes: tuple[float, ...] = (_PRIOR_SHAPE,) * len(TIME_CONSTANTS_S)
    times_s: tuple[float, ...] = (_PRIOR_TIME_S,) * len(TIME_CONSTANTS_S)
    weights: tuple[float, ...] = PRIOR_WEIGHTS
    peakedness: float = 1.0
    peak_mass: float = 30.0
    bin_calls: float = 0.0
    bin_s: float = 0.0
    dispersion: float = 2.0
    spread_mass: float = _PRIOR_SPREAD_MASS
    long_calls: float = 0.0
    long_s: float = 0.0
    long_rate: float = -1.0
    long_variance: float = 0.0

    @classmethod
    def guess(cls, rate: float) -> ArrivalEstimator:
        """A first guess of the rate, in calls per second, worth ten seconds of looking."""
        shape = rate * _GUESS_S + _PRIOR_SHAPE
        return cls((shape,) * len(TIME_CONSTANTS_S), (_GUESS_S,) * len(TIME_CONSTANTS_S))

    @property
    def taught(self) -> bool:
        """Whether there was a call lately. Without one the estimate is all prior."""
        return max(self.shapes) > _PRIOR_SHAPE

    def while_new(self) -> ArrivalEstimator:
        """What to assume of a pool that saw a call or two, or none: that it looked for a minute at least.

        One call within ten seconds is no rate of six a minute: an estimate from so little is nearly all prior, and
        would fill a new pool with workers.
        """
        known = self.spread_mass > _PRIOR_SPREAD_MASS
        times_s = tuple([max(time, _NEW_S) for time in self.times_s])
        return replace(self, times_s=times_s, dispersion=self.dispersion if known else 1.0)

    def moments(self) -> tuple[float, float, float]:
        """Mean, variance and third central moment of the rate, in calls per second: what is known of it."""
        mean = square = cube = 0.0
        for weight, shape, time in zip(self.weights, self.shapes, self.times_s, strict=True):
            m = shape / time
            mean += weight * m
            square += weight * m * (m + 1.0 / time)
            cube += weight * m * (m + 1.0 / time) * (m + 2.0 / time)
        variance = square - mean * mean
        return mean, variance, cube - 3.0 * mean * variance - mean**3

    def learn(self, calls: int, dt_s: float) -> ArrivalEstimator:
        """After `calls` more calls in `dt_s` seconds, > 0."""
        scale = 1.0 / self.peakedness
        log_dt = log(dt_s)
        scores, shapes, times = [], [], []
        for shape, time, weight, constant_s in zip(
            self.shapes, self.times_s, self.weights, TIME_CONSTANTS_S, strict=True
        ):
            # Negative binomial log-likelihood, without the term that all filters share.
            total = time + dt_s
            log_total = log(total)
            score = shape * (log(time) - log_total)
            if calls:
                score += calls * (log_dt - log_total) + lgamma(shape + calls) - lgamma(shape)
            scores.append(log(weight) + scale * score)
            fade = 1.0 - dt_s / constant_s if dt_s < 0.1 * constant_s else exp(-dt_s / constant_s)
            shape = shape * fade + calls
            shapes.append(shape if shape > _LEAST_SHAPE else _LEAST_SHAPE)
            times.append(time * fade + dt_s)
        best = max(scores)
        raw = [exp(s - best) for s in scores]
        share = min(dt_s / SWITCH_S, 0.5)
        keep = (1.0 - share) / sum(raw)
        weights = [keep * r + share * p for r, p in zip(raw, PRIOR_WEIGHTS, strict=True)]
        bin_calls, bin_s = self.bin_calls + calls, self.bin_s + dt_s
        peak, mass = self.peakedness, self.peak_mass
        if bin_s >= PEAK_STEP_S:
            peak, mass = self._peak(bin_calls, bin_s)
            bin_calls = bin_s = 0.0
        new = ArrivalEstimator(
            tuple(shapes), tuple(times), tuple(weights), peak, mass, bin_calls, bin_s,
            self.dispersion, self.spread_mass, self.long_calls + calls, self.long_s + dt_s,
            self.long_rate, self.long_variance,
        )  # fmt: skip
        return new if new.long_s < SPREAD_STEP_S else new._spread()

    def _peak(self, calls: float, dt_s: float) -> tuple[float, float]:
        # The short filter's own rate is the reference: what it explains is a changing rate, not a batch.
        shape, time = self.shapes[0], self.times_s[0]
        expected = shape / time * dt_s
        # It includes the count itself already, and is known only after about one time constant.
        own = 1.0 - dt_s / time if dt_s < 0.5 * time else 0.5
        index = (calls - expected) ** 2 / (max(expected, 0.2) * own)
        mass = self.peak_mass * exp(-dt_s / PEAK_TIME_CONSTANT_S) + 1.0
        # One count says at most so much, however heavy the tail is.
        return max(1.0, self.peakedness + (min(index, 50.0) - self.peakedness) / mass), mass

    def _spread(self) -> ArrivalEstimator:
        """The same after a longer count is complete, and the next one begun."""
        dispersion, mass, dt_s = self.dispersion, self.spread_mass, self.long_s
        if self.long_rate >= 0.0:
            expected = self.long_rate * dt_s
            # What was not known of the rate is in the forecast already.
            index = ((self.long_calls - expected) ** 2 - self.long_variance * dt_s**2) / max(expected, 0.5)
            mass = mass * exp(-dt_s / PEAK_TIME_CONSTANT_S) + 1.0
            dispersion = max(1.0, dispersion + (min(index, 50.0) - dispersion) / mass)
        rate, variance, _ = self.moments()
        known = self.times_s[0] >= _KNOWN_S
        return replace(
            self,
            dispersion=dispersion,
            spread_mass=mass,
            long_calls=0.0,
            long_s=0.0,
            long_rate=rate if known else -1.0,
            long_variance=variance,
        )
