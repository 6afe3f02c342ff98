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
    if not (math.isfinite(rate_per_s) and rate_per_s > 0):
        raise ConfigError(
            "the rate must be a positive number of calls per second",
            field="rate_per_s",
            value=rate_per_s,
            hint="Give a rate above 0, e.g. 0.5 for a call every two seconds.",
        )
    if count < 0:
        raise ConfigError("the number of calls cannot be negative", field="count", value=count, hint="Give 0 or more.")
    return np.cumsum(rng.exponential(1.0 / rate_per_s, size=count))
