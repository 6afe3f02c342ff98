"""Shapes of load: the rates that were chosen are those of the calls that come."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from voicefleet.contract.errors import ConfigError
from voicefleet.loadtest.arrivals import MAX_CALLS, Arrivals
from voicefleet.traffic import profiles, shapes

pytestmark = pytest.mark.unit


def counts(offsets: Any, edges: list[float]) -> list[int]:
    return [int(((offsets >= a) & (offsets < b)).sum()) for a, b in pairwise(edges)]


def is_poisson(found: int, expected: float) -> bool:
    return bool(abs(found - expected) <= 4 * expected**0.5)


def test_constant_calls_come_at_equal_distances() -> None:
    assert np.diff(Arrivals(shape="constant", rate=4, calls=9).offsets(1)) == pytest.approx(0.25)
    assert Arrivals(shape="constant", rate=4, duration_s=10).offsets(1).size == 40
    assert Arrivals(shape="constant", rate=0.1, duration_s=5).offsets(1).tolist() == [0.0]


def test_poisson_for_a_time_has_the_rate_and_no_memory() -> None:
    sizes = [Arrivals(rate=5, duration_s=60).offsets(seed).size for seed in range(300)]
    assert np.mean(sizes) == pytest.approx(300, rel=0.02)
    assert np.var(sizes) / np.mean(sizes) == pytest.approx(1.0, abs=0.35)
    assert Arrivals(rate=5, calls=17).offsets(3).size == 17


def test_a_ramp_climbs_in_a_straight_line() -> None:
    offsets = Arrivals(shape="ramp", rate=2, to_rate=10, duration_s=600).offsets(1)
    for found, rate in zip(counts(offsets, [0, 150, 300, 450, 600]), (3, 5, 7, 9), strict=True):
        assert is_poisson(found, rate * 150)


def test_stairs_have_equal_steps_and_both_ends() -> None:
    offsets = Arrivals(shape="step", rate=2, to_rate=8, steps=4, duration_s=400).offsets(1)
    for found, rate in zip(counts(offsets, [0, 100, 200, 300, 400]), (2, 4, 6, 8), strict=True):
        assert is_poisson(found, rate * 100)
    assert shapes.stairs(np.array([0.0, 99.9, 100.0]), 1, 3, 2, 100.0).tolist() == [1, 3, 3]


def test_a_spike_is_as_high_and_as_long_as_asked_for() -> None:
    offsets = Arrivals(shape="spike", rate=4, factor=5, at_s=60, for_s=30, duration_s=180).offsets(1)
    for found, expected in zip(counts(offsets, [0, 60, 90, 180]), (240, 600, 360), strict=True):
        assert is_poisson(found, expected)


def test_gamma_blocks_have_rates_of_their_own_and_the_mean_that_was_asked_for() -> None:
    arrivals = Arrivals(shape="gamma", rate=10, cv=0.5, block_s=10, duration_s=900)
    found = np.array([counts(arrivals.offsets(seed), [10.0 * i for i in range(91)]) for seed in range(20)])
    assert found.mean() == pytest.approx(100, rel=0.04)
    # Of a doubly stochastic count: the mean (Poisson) and the square of the rate's deviation.
    assert found.var() == pytest.approx(100 + 50**2, rel=0.12)


def test_a_day_can_be_as_short_as_a_test() -> None:
    offsets = Arrivals(shape="diurnal", rate=20, swing=0.8, duration_s=400).offsets(1)
    night, day = sum(counts(offsets, [0, 100])) + sum(counts(offsets, [300, 400])), sum(counts(offsets, [100, 300]))
    assert is_poisson(offsets.size, 8000)
    # A sine's half wave has 2 / pi of its height on average.
    assert day / night == pytest.approx((1 + 0.8 * 2 / np.pi) / (1 - 0.8 * 2 / np.pi), rel=0.1)
    times = np.arange(0.0, profiles.DAY_S * 2, profiles.STEP_S)
    rates = profiles.diurnal(times, 1.0, np.random.default_rng(1))
    assert (rates.min(), rates.max()) == (pytest.approx(0.4), pytest.approx(1.6))


def test_a_trace_is_replayed_faster(tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    file.write_text("arrival_s\n0\n10\n25\n")
    assert Arrivals(shape="trace", file=file, speed_up=10).offsets(1).tolist() == [0, 1, 2.5]
    assert Arrivals(shape="trace", file=file, calls=2).offsets(1).tolist() == [0, 10]
    with pytest.raises(ConfigError, match="cannot be read"):
        Arrivals(shape="trace", file=tmp_path / "none.csv").offsets(1)


@pytest.mark.parametrize("shape", ["poisson", "spike", "gamma", "diurnal"])
def test_the_same_seed_gives_the_same_calls_in_order(shape: Any) -> None:
    arrivals = Arrivals(shape=shape, rate=3, duration_s=50)
    assert arrivals.offsets(5).tolist() == arrivals.offsets(5).tolist()
    assert arrivals.offsets(5).tolist() != arrivals.offsets(6).tolist()
    assert (np.diff(arrivals.offsets(5)) >= 0).all()
    assert arrivals.offsets(5).max() < 50


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"shape": "ramp", "rate": 1, "duration_s": 5}, "is needed by the shape ramp"),
        ({"rate": 1}, "needs one of calls and duration_s"),
        ({"rate": 1, "calls": 2, "duration_s": 5}, "needs one of calls and duration_s"),
        ({"rate": 1, "calls": 2, "cv": 1}, "means nothing in the shape poisson"),
        ({"shape": "trace"}, "is needed by the shape trace"),
        ({"shape": "square", "rate": 1}, "shape"),
        ({"rate": float("nan"), "calls": 1}, "finite"),
        ({"rate": 0, "calls": 1}, "greater than 0"),
    ],
)
def test_numbers_that_are_no_shape(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Arrivals(**fields)


def test_no_call_and_too_many_are_refused() -> None:
    for arrivals in (Arrivals(rate=0.001, duration_s=1), Arrivals(rate=1000, duration_s=60)):
        with pytest.raises(ConfigError, match=f"1 to {MAX_CALLS}"):
            arrivals.offsets(1)
