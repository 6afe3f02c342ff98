"""When calls arrive: offsets in seconds from the start of a run, sorted, first call first.

Pure: the only randomness is the generator passed in, so a seed gives the same calls again. Arrivals are
open-loop: they never wait for a call to be answered, or a slow platform would slow its own load down.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from voicefleet.contract.errors import ConfigError

Offsets = NDArray[np.float64]


def poisson(rate_per_s: float, count: int, rng: np.random.Generator) -> Offsets:
    """Arrivals of independent callers: exponential gaps of mean ``1 / rate_per_s``.

    Args:
        rate_per_s: mean calls per second, > 0.
        count: number of calls, >= 0.
        rng: source of randomness; the same state gives the same offsets.

    Returns:
        shape ``(count,)``, seconds, non-decreasing, first one a gap after 0.

    Raises:
        ConfigError: the rate is not a positive finite number, or the count is negative.
    """
    _check(rate_per_s, count)
    gaps: Offsets = rng.exponential(1.0 / rate_per_s, size=count)
    return np.cumsum(gaps)


def constant(rate_per_s: float, count: int, rng: np.random.Generator | None = None) -> Offsets:
    """Evenly spaced arrivals, ``1 / rate_per_s`` apart, first one at 0 (with ``rng``: at a random phase).

    Returns:
        shape ``(count,)``, seconds, non-decreasing.

    Raises:
        ConfigError: the rate is not a positive finite number, or the count is negative.
    """
    _check(rate_per_s, count)
    phase = 0.0 if rng is None else float(rng.uniform(0.0, 1.0 / rate_per_s))
    return np.arange(count, dtype=np.float64) / rate_per_s + phase


def burst(rate_per_s: float, count: int, rng: np.random.Generator, *, size: int) -> Offsets:
    """Bursts of ``size`` calls at the same instant; the bursts are Poisson and the mean rate is kept.

    A worker takes only as many calls at once as it has idle processes, so bursts find a limit that a
    smooth arrival of the same rate does not.

    Args:
        rate_per_s: mean calls (not bursts) per second, > 0.
        count: number of calls, >= 0; the last burst may be smaller.
        size: calls per burst, >= 1.

    Returns:
        shape ``(count,)``, seconds, non-decreasing.

    Raises:
        ConfigError: the rate is not a positive finite number, the count negative, or the size < 1.
    """
    _check(rate_per_s, count)
    if size < 1:
        raise ConfigError("a burst needs at least one call", field="size", value=size, hint="Give a size >= 1.")
    bursts = math.ceil(count / size)
    return np.repeat(poisson(rate_per_s / size, bursts, rng), size)[:count]


def _check(rate_per_s: float, count: int) -> None:
    if not (math.isfinite(rate_per_s) and rate_per_s > 0):
        raise ConfigError(
            "the rate must be a positive number of calls per second",
            field="rate_per_s",
            value=rate_per_s,
            hint="Give a rate above 0, e.g. 0.5 for a call every two seconds.",
        )
    if count < 0:
        raise ConfigError("the number of calls cannot be negative", field="count", value=count, hint="Give 0 or more.")
