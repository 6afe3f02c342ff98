"""What is learned: durations without bias, start times, arrivals with their own error; tails against exact ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from voicefleet.scaling.estimators import ArrivalEstimator, DurationEstimator, ShortageEstimator, StartTimeEstimator
from voicefleet.scaling.estimators.durations import age_counts
from voicefleet.scaling.forecast import batch_arrival_bias
from voicefleet.scaling.policy_state import PolicyState, dump, load
from voicefleet.scaling.tail import upper_tail

pytestmark = pytest.mark.unit


def pool_of(durations_s: np.ndarray, rate: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    arrivals = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, durations_s.size))
    return arrivals, arrivals + durations_s


@pytest.mark.parametrize("mean_s", [40.0, 240.0])
def test_durations_are_learned_without_bias_from_a_pool_that_fills_up(mean_s: float) -> None:
    """Exponential calls, far from the prior: in a young pool the short ones end first, which must not mislead."""
    draws = np.random.default_rng(1).exponential(mean_s, 8_000)
    arrivals, ends = pool_of(draws, 1.0, 2)
    law, before = DurationEstimator.prior(), 0.0
    for now in np.arange(10.0, 6_000.0, 10.0):
        over = draws[(ends > before) & (ends <= now)]
        ages = now - arrivals[(arrivals <= now) & (ends > now)]
        law, before = law.learn(over.tolist(), ages, 10.0), float(now)
    for age in (0.3 * mean_s, mean_s, 2 * mean_s):
        assert float(law.survival(np.array([age]))[0]) == pytest.approx(np.exp(-age / mean_s), abs=0.025)
    assert law.mean_s == pytest.approx(mean_s, rel=0.08)


def test_the_prior_is_the_fitted_law() -> None:
    law = DurationEstimator.prior()
    assert law.mean_s == pytest.approx(np.exp(4.77 + 0.916**2 / 2), rel=0.03)
    assert float(law.survival(np.array([np.exp(4.77)]))[0]) == pytest.approx(0.5, abs=0.02)


def test_an_old_call_stays_longer_than_a_young_one_under_the_prior() -> None:
    law = DurationEstimator.prior()
    stays = law.stay_probabilities([40.0])[:, 0]
    young, old = stays[10], stays[100]
    assert old > young
    in_balance = float(law.stay_probabilities_in_equilibrium([40.0])[0])
    assert young < in_balance < 1


def test_age_counts_hold_every_call() -> None:
    counts = age_counts(np.array([0.0, 7.9, 8.0, 1e9]))
    assert counts.sum() == 4
    assert counts[:2].tolist() == [2, 1]
    assert counts[-1] == 1


def test_start_times_move_the_median_at_once_and_the_spread_slowly() -> None:
    law = StartTimeEstimator()
    assert law.quantiles((0.0,))[0] == pytest.approx(40)
    law = law.learn([10.0])
    assert law.quantiles((0.0,))[0] < 30
    for _ in range(40):
        law = law.learn([10.0, -1.0, float("inf"), float("nan")])
    median, slow = law.quantiles((0.0, 1.645))
    assert median == pytest.approx(10, rel=0.02)
    assert slow < 13
    assert len(law.seen_s) == 41


def learned(counts: np.ndarray, dt_s: float = 2.0) -> ArrivalEstimator:
    law = ArrivalEstimator()
    for count in counts:
        law = law.learn(int(count), dt_s)
    return law


def test_a_steady_rate_is_known_ever_better() -> None:
    counts = np.random.default_rng(1).poisson(2.0, 3_000)
    law = learned(counts)
    mean, variance, _ = law.moments()
    assert mean == pytest.approx(1.0, rel=0.08)
    assert variance**0.5 < 0.1
    assert law.peakedness == pytest.approx(1.0, abs=0.15)
    assert sum(law.weights) == pytest.approx(1)


def test_a_jump_of_the_rate_is_followed_within_a_minute() -> None:
    rng = np.random.default_rng(2)
    law = learned(rng.poisson(2.0, 1_800))
    for count in rng.poisson(6.0, 30):
        law = law.learn(int(count), 2.0)
    mean, variance, _ = law.moments()
    assert mean > 1.8
    assert mean + 3 * variance**0.5 > 2.7, "and it knows that it does not know"


def test_batches_show_as_peakedness() -> None:
    rng = np.random.default_rng(3)
    law = learned(4 * rng.poisson(0.4, 5_000))
    assert law.peakedness > 2.0


@pytest.mark.parametrize(("live", "new"), [(0, 0.5), (3, 2.0), (10, 1.5), (24, 4.0), (120, 18.0), (480, 80.0)])
def test_tails_are_within_a_factor_of_two_of_the_exact_ones(live: int, new: float) -> None:
    p = np.random.default_rng(4).uniform(0.6, 0.98, live)
    exact = np.array([1.0])
    for x in p:
        exact = np.convolve(exact, [1 - x, x])
    poisson = [np.exp(-new)]
    for k in range(1, int(new + 20 * new**0.5 + 40)):
        poisson.append(poisson[-1] * new / k)
    exact = np.convolve(exact, poisson)
    tail = np.append(np.cumsum(exact[::-1])[::-1], 0.0)
    mean = p.sum() + new
    variance = (p * (1 - p)).sum() + new
    third = (p * (1 - p) * (1 - 2 * p)).sum() + new
    for target in (0.05, 0.01, 0.001):
        n = int(np.argmax(tail < target)) - 1
        assert 0.5 < upper_tail(n, mean, variance, third) / tail[n] < 2.0


def test_who_comes_in_a_crowd_finds_the_crowd_there() -> None:
    """Counts of a peaky stream, each seen as often as calls are in it, against the same counts seen by a clock."""
    peak, mean = 8.0, 100.0
    counts = np.random.default_rng(2).negative_binomial(mean / (peak - 1), 1 / peak, 100_000).astype(float)
    by_callers = float((counts * counts).sum() / counts.sum())
    others_more = by_callers - 1 - float(counts.mean())
    assert 0.8 * others_more < batch_arrival_bias(peak) < others_more
    assert batch_arrival_bias(1.0) == 0.0, "Poisson arrivals see time averages"


def test_tails_at_their_ends() -> None:
    assert upper_tail(3, 2, 0, 0) == 0
    assert upper_tail(2, 2, 0, 0) == 1
    assert upper_tail(1_000, 10, 9, 9) < 1e-300
    assert upper_tail(0, 500, 100, 50) == 1
    # A negatively skewed count cannot exceed the end of its range.
    assert upper_tail(60, 30, 4, -8.0) == 0


def test_what_was_learned_outlives_the_process() -> None:
    law = DurationEstimator.prior().learn([30.0, 60.0], np.array([5.0, 400.0]), 10.0)
    met = ShortageEstimator().learn(5_000, -3, 2.0).learn(40, 6, 2.0).settle(0.001)
    assert met.margin > 0
    learned = PolicyState(
        *(ArrivalEstimator().learn(3, 2.0), law, StartTimeEstimator().learn([20.0])),
        at_s=5.0,
        arrived=9,
        desired=4,
        shortage=met,
    )
    back = load(dump(learned))
    assert back is not None
    assert learned.arrivals is not None
    assert back.arrivals == dataclasses.replace(learned.arrivals, bin_calls=0.0, bin_s=0.0, long_calls=0.0, long_s=0.0)
    assert back.shortage == dataclasses.replace(met, before=met.margin, crowd=0.0)
    assert back.starts == learned.starts
    assert np.allclose(back.durations.hazard, law.hazard, rtol=1e-3)
    assert (back.at_s, back.arrived, back.desired, back.tables) == (None, None, None, None)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"v": 99}', dump(PolicyState()).replace("0.5", "-1"), "null"])
def test_a_dump_that_cannot_be_read_is_left_aside(text: str) -> None:
    assert load(text) is None
