"""Intervals: Wilson's against published values, and the bootstrap's coverage of a truth that is known."""

from __future__ import annotations

import numpy as np
import pytest

from voicefleet.scoring.intervals import mean_estimate, quantile_estimate, wilson

pytestmark = pytest.mark.unit


# Newcombe 1998, Statistics in Medicine 17, table I, method 3.
@pytest.mark.parametrize(
    ("successes", "n", "lo", "hi"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_is_that_of_the_literature(successes: int, n: int, lo: float, hi: float) -> None:
    found = wilson(successes, n)
    assert found.value == successes / n
    assert found.lo == pytest.approx(lo, abs=5e-5)
    assert found.hi == pytest.approx(hi, abs=5e-5)


def test_nothing_measured_is_unknown_not_zero() -> None:
    assert wilson(0, 0).value is None
    assert quantile_estimate([[], []], 0.5).value is None
    assert mean_estimate([]).value is None


def test_one_task_alone_has_no_interval() -> None:
    found = quantile_estimate([[0.5, 0.7]], 0.5)
    assert found.value == pytest.approx(0.6)
    assert (found.lo, found.hi, found.n) == (None, None, 2)


def test_the_interval_covers_the_truth_when_calls_of_a_task_are_alike() -> None:
    """Single calls drawn again would cover far less: a task's own differ by a tenth of what tasks do."""
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(60):
        groups = [rng.normal(task, 0.1, size=3).tolist() for task in rng.normal(0, 1, size=30)]
        found = quantile_estimate(groups, 0.5, seed=seed)
        assert found.lo is not None
        assert found.hi is not None
        covered += found.lo <= 0.0 <= found.hi
    assert covered / 60 >= 0.86
