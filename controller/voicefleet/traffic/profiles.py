"""Traffic by profile: the generators of traces, by name in `PROFILES`.

Each draws the rate first and then Poisson arrivals under it, so that what one seed gives is one world that every
policy sees. Mean calls in progress are those of the profile's mean rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.validation import nearest
from voicefleet.traffic.durations import Law, check_positive
from voicefleet.traffic.traces import Trace, azure

Rates = NDArray[np.float64]
STEP_S = 10.0
"""Rates are constant for so long."""
DAY_S = 86_400.0

Profile = Callable[[Rates, float, np.random.Generator], Rates]
"""(times in s, mean rate per s, randomness) -> rate at each time, mean about the mean rate."""


def stationary(times: Rates, rate: float, rng: np.random.Generator) -> Rates:
    """The same rate all the time: Poisson arrivals."""
    return np.full(times.size, rate)


def diurnal(times: Rates, rate: float, rng: np.random.Generator, *, day_s: float = DAY_S, swing: float = 0.6) -> Rates:
    """Day and night: a sine of a day's length between 1 - `swing` and 1 + `swing` of the mean, from midnight on.

    A trace shorter than a day is the morning's rise: it is centred where the rate is the mean and climbs fastest.
    """
    span_s = float(times[-1]) + (float(times[1] - times[0]) if times.size > 1 else STEP_S)
    noon_s = span_s / 2 if span_s < day_s else day_s / 4
    return np.asarray(rate * (1 + swing * np.sin(2 * math.pi * (times - noon_s) / day_s)))


def gamma(times: Rates, rate: float, rng: np.random.Generator, *, block_s: float = 1800.0, cv: float = 0.3) -> Rates:
    """Doubly stochastic, as call centres are: each half hour's rate is drawn from a gamma law with CV 0.3."""
    shape = 1 / cv**2
    blocks = rng.gamma(shape, rate / shape, size=int(times[-1] // block_s) + 1)
    return np.asarray(blocks[(times // block_s).astype(int)])


def burst(times: Rates, rate: float, rng: np.random.Generator) -> Rates:
    """Unannounced: about once in an hour the rate is 1.6 times as high for five minutes."""
    rates = np.ones(times.size)
    at = rng.exponential(3600.0)
    while at < times[-1]:
        rates[(times >= at) & (times < at + 300.0)] = 1.6
        at += 300.0 + rng.exponential(3600.0)
    return np.asarray(rate * rates / rates.mean())


def batches(times: Rates, rate: float, rng: np.random.Generator) -> Rates:
    """Peaky: the rate of each 10 s is drawn anew, from a gamma law with CV 0.5."""
    return rng.gamma(4.0, rate / 4.0, size=times.size)


CAMPAIGN_EVERY_S, CAMPAIGN_S = 7200.0, 900.0


def campaign(times: Rates, rate: float, rng: np.random.Generator) -> Rates:
    """Announced: every two hours a mailing doubles the rate for a quarter of an hour (see `Trace.campaigns`)."""
    rates = np.where((times % CAMPAIGN_EVERY_S >= 3600.0) & (times % CAMPAIGN_EVERY_S < 3600.0 + CAMPAIGN_S), 2.0, 1.0)
    return np.asarray(rate * rates / rates.mean())


PROFILES: dict[str, Profile] = {
    "stationary": stationary,
    "diurnal": diurnal,
    "gamma": gamma,
    "burst": burst,
    "batches": batches,
    "campaign": campaign,
}
SHIPPED = "azure"


def known_traffic() -> tuple[str, ...]:
    """The names that `generate` takes."""
    return (*PROFILES, SHIPPED)


def generate(name: str, *, mean_live: float, calls: int, law: Law, seed: int) -> Trace:
    """A trace of about `calls` calls with `mean_live` in progress on average.

    Args:
        name: one of `known_traffic()`.
        mean_live: mean calls in progress, > 0.
        calls: mean number of calls, >= 1 (the shipped arrivals have their own number).
        law: of the durations.
        seed: the same one gives the same calls.

    Raises:
        ConfigError: an unknown name, or a number out of range.
    """
    if name not in known_traffic():
        raise ConfigError("no such traffic", field="traffic", value=name, hint=nearest(name, known_traffic()))
    check_positive("mean_live", mean_live, "Give the calls in progress to aim at, e.g. 120.")
    if calls < 1:
        raise ConfigError("must be at least 1", field="calls", value=calls, hint="Give e.g. 20000.")
    rng = np.random.default_rng([seed, 1])
    if name == SHIPPED:
        return azure(law, rng).stretched(mean_live)
    rate = mean_live / law.mean_s
    times = np.arange(0.0, max(STEP_S, calls / rate), STEP_S)
    rates = PROFILES[name](times, rate, rng)
    arrivals = arrivals_under(rates, rng)
    campaigns: tuple[tuple[float, float, float], ...] = ()
    if name == "campaign":
        base = float(rates.min())
        starts = np.arange(3600.0, float(times[-1]), CAMPAIGN_EVERY_S)
        campaigns = tuple((float(s), CAMPAIGN_S, base) for s in starts)
    durations = law.draw(arrivals.size, rng)
    return Trace(name, arrivals, durations, f"generated, seed {seed}", campaigns)


def arrivals_under(rates: Rates, rng: np.random.Generator, step_s: float = STEP_S) -> Rates:
    """Poisson arrivals under a rate that is constant for `step_s`: shape ``(n,)``, seconds, sorted."""
    counts = rng.poisson(rates * step_s)
    starts = np.repeat(np.arange(rates.size) * step_s, counts)
    return np.sort(starts + rng.random(starts.size) * step_s)
