"""Arrival offsets: repeatable, sorted, of the rate asked for and of the right shape."""

from __future__ import annotations

import numpy as np
import pytest

from voicefleet.contract.errors import ConfigError
from voicefleet.traffic import arrivals

pytestmark = pytest.mark.unit


def rng(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_poisson_gaps_are_exponential_with_the_mean_asked_for() -> None:
    offsets = arrivals.poisson(2.0, 20_000, rng())
    gaps = np.diff(offsets, prepend=0.0)
    assert gaps.min() >= 0
    assert gaps.mean() == pytest.approx(0.5, rel=0.03)
    # Kolmogorov-Smirnov against the exponential, at the 1 % level.
    cdf = 1 - np.exp(-np.sort(gaps) / 0.5)
    assert np.abs(cdf - np.arange(gaps.size) / gaps.size).max() < 1.63 / gaps.size**0.5


def test_the_same_seed_gives_the_same_calls() -> None:
    assert np.array_equal(arrivals.poisson(1.0, 50, rng(1)), arrivals.poisson(1.0, 50, rng(1)))
    assert not np.array_equal(arrivals.poisson(1.0, 50, rng(1)), arrivals.poisson(1.0, 50, rng(2)))


def test_no_calls_is_an_empty_run() -> None:
    assert arrivals.poisson(1.0, 0, rng()).size == 0


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="rate_per_s"):
        arrivals.poisson(rate, 1, rng())


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ConfigError, match="count = -1"):
        arrivals.poisson(1.0, -1, rng())
