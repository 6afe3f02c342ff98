"""How many calls there will be when a worker asked for now is ready: a distribution, not a number.

The calls after a time h are those in progress now that last longer than h more, given their ages, and those that
arrive until then and are not over. The first are independent coin tosses, the second negative binomial (a Poisson
stream whose rate is known up to a gamma distribution), so that mean, variance and skewness add up. The start time of a
worker is a distribution too: what is predicted is the risk averaged over when the worker will be ready.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voicefleet.scaling.estimators import ArrivalEstimator, DurationEstimator, StartTimeEstimator
from voicefleet.scaling.estimators.durations import age_counts
from voicefleet.scaling.tail import upper_tail

Vector = NDArray[np.float64]

LEAD, DELAYED = range(2)
"""Places of the horizons: a new worker is ready; and the same once the scale-down delay is over."""
LEAD_QUANTILE = 0.3
"""Normal quantile of the start time that counts as the lead: a little above its median. A slower start is made up for
by the orders that follow, and one that is much too slow is no longer counted on (see guardrails.overdue)."""


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """What depends only on the estimators, made anew when they change.

    Attributes:
        horizons_s: times ahead, see `LEAD` and `DELAYED`.
        stays: shape ``(AGE_STEPS, 3 * len(horizons_s))``: mean, variance, third cumulant of a call's still being there.
        unknown: the same for a call of unknown age.
        worked: calls after each horizon from one arrival per second.
    """

    horizons_s: tuple[float, ...]
    stays: Vector
    unknown: Vector
    worked: tuple[float, ...]

    @classmethod
    def of(
        cls, durations: DurationEstimator, starts: StartTimeEstimator, *, reaction_s: float, scale_down_delay_s: float
    ) -> Tables:
        """Args:
        reaction_s: from a change to an order, beside the start itself.
        scale_down_delay_s: how much longer than a start a worker must be needless before it may go.
        """
        lead_s = starts.quantiles((LEAD_QUANTILE,))[0] + reaction_s
        horizons = (lead_s, lead_s + scale_down_delay_s)
        p = durations.stay_probabilities(horizons)
        q = durations.stay_probabilities_in_equilibrium(horizons)[None, :]
        return cls(horizons, _cumulants(p), _cumulants(q)[0], durations.restricted_means_s(horizons))


def _cumulants(p: Vector) -> Vector:
    spread = p * (1.0 - p)
    return np.concatenate([p, spread, spread * (1.0 - 2.0 * p)], axis=1)


@dataclass(frozen=True, slots=True)
class Forecast:
    """The calls ahead, from one observation.

    Attributes:
        lead_s: time until a worker asked for now is ready.
        calls: (mean, variance, third cumulant) of all calls at each horizon.
        stay: mean number of the present calls that are still there after `lead_s`.
        come: mean number of calls that arrive until then and are still there.
    poisson_variance: variance of the calls at that time by their own chance alone: a Poisson stream of a known rate.
    """

    lead_s: float
    calls: tuple[tuple[float, float, float], ...]
    stay: float
    come: float
    poisson_variance: float

    @property
    def sigma(self) -> float:
        """Standard deviation of the calls there will be when a worker asked for now is ready."""
        return float(self.calls[LEAD][1] ** 0.5)

    def risk(self, slots: int) -> float:
        """P(a call that arrives when a worker asked for now gets ready finds `slots` slots taken)."""
        return upper_tail(slots, *self.calls[LEAD])

    def scale_down_risk(self, slots: int) -> float:
        """The same after the scale-down delay: how likely it is that a worker given up now is wanted back soon."""
        return upper_tail(slots, *self.calls[DELAYED])


def predict(
    tables: Tables,
    arrivals: ArrivalEstimator,
    *,
    calls: int,
    ages_s: Vector | None,
    announced: Sequence[float] = (),
    margin: float = 0.0,
) -> Forecast:
    """Args:
    calls: all calls there are: live, waiting and joining.
    ages_s: of the live ones; the others are new. None: unknown, a pool in balance is assumed.
    announced: additional arrivals per second by campaigns until each horizon, mean; empty: none.
    margin: to add to the mean, in standard deviations of the calls' own chance (see `Forecast.poisson_variance`).
    """
    count = len(tables.horizons_s)
    if ages_s is None:
        found = tables.unknown * calls
    else:
        found = age_counts(ages_s) @ tables.stays
        if calls > ages_s.size:
            found += tables.stays[0] * (calls - ages_s.size)
    moments = found.tolist()
    rate, rate_variance, rate_third = arrivals.moments()
    peak = max(arrivals.dispersion, arrivals.peakedness)
    more = batch_arrival_bias(peak)
    ahead = []
    for i, worked in enumerate(tables.worked):
        new = rate * worked
        error = rate_variance * worked * worked
        if announced:
            new += announced[i] * worked
        variance = moments[count + i] + peak * new + error
        third = moments[2 * count + i] + peak * (peak * new + 3.0 * error) + rate_third * worked**3
        mean = moments[i] + new + more + margin * (moments[count + i] + new) ** 0.5
        ahead.append((mean, variance, third))
    stay = moments[LEAD]
    come = (rate + (announced[LEAD] if announced else 0.0)) * tables.worked[LEAD]
    return Forecast(tables.horizons_s[LEAD], tuple(ahead), stay, come, moments[count + LEAD] + come)


def batch_arrival_bias(peak: float) -> float:
    """How many more calls a caller finds there than somebody who looks at a time of no matter.

    Only Poisson arrivals see time averages (Wolff 1982). Who comes in a crowd sees that crowd: a count with variance
    `peak` times its mean, weighed by itself, has a mean that is ``peak - 1`` larger. A peak of little above 1 is
    mostly the error of its measurement, hence the factor ``1 - 1 / peak``.
    """
    return (peak - 1.0) ** 2 / peak
