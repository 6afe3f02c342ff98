"""Medians, ratios and their intervals: right where the answer is known, and wide where it is not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from bench.statistics import (
    Block,
    Estimate,
    median,
    median_estimate,
    quantile,
    ratio_of_medians,
    ratio_of_quantiles,
    ratio_of_sums,
    verdict,
)

pytestmark = pytest.mark.unit


def test_median_and_quantile_of_known_samples() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([4.0, 1.0, 2.0, 3.0]) == 2.5
    assert quantile([0.0, 1.0, 2.0, 3.0, 4.0], 0.75) == 3.0


def test_no_samples_are_no_figure() -> None:
    for figure in (
        lambda: median([]),
        lambda: quantile([], 0.5),
        lambda: median_estimate([]),
        lambda: median_estimate([[]]),
    ):
        with pytest.raises(ValueError, match="no samples"):
            figure()
    with pytest.raises(ValueError, match="no samples"):
        ratio_of_medians([Block([1.0], []), Block([1.0], [])])


def test_equal_arms_have_the_ratio_one_and_no_doubt() -> None:
    blocks = [Block([0.5, 0.5], [0.5, 0.5])] * 6
    assert ratio_of_medians(blocks) == Estimate(1.0, 1.0, 1.0)


def test_ratio_is_of_pooled_medians_and_the_interval_holds_it() -> None:
    rng = np.random.default_rng(1)
    blocks = [Block(rng.normal(0.55, 0.03, 12).tolist(), rng.normal(0.5, 0.03, 12).tolist()) for _ in range(12)]
    found = ratio_of_medians(blocks)
    pooled = median(s for b in blocks for s in b.ours) / median(s for b in blocks for s in b.theirs)
    assert found.value == pooled
    assert found.lo < found.value < found.hi
    assert 1.05 < found.lo < 1.1 < found.hi < 1.15


def test_the_same_seed_gives_the_same_interval() -> None:
    blocks = [Block([0.5 + 0.01 * i], [0.5]) for i in range(8)]
    assert ratio_of_medians(blocks, seed=3) == ratio_of_medians(blocks, seed=3)


def test_a_block_that_is_slow_for_both_arms_does_not_widen_the_ratio() -> None:
    blocks = [Block([level], [level]) for level in (0.4, 0.5, 0.6, 0.9, 1.5)]
    assert ratio_of_medians(blocks) == Estimate(1.0, 1.0, 1.0)


def test_samples_of_a_group_that_are_alike_count_as_one() -> None:
    rng = np.random.default_rng(2)
    levels = rng.normal(0.5, 0.05, 10)
    alone = median_estimate([[x] for x in levels])
    repeated = median_estimate([[x] * 50 for x in levels])
    assert repeated.hi - repeated.lo == pytest.approx(alone.hi - alone.lo, rel=0.1)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    hits = 0
    for trial in range(100):
        blocks = []
        for _ in range(12):
            shift = rng.normal(0, 0.02)  # of the moment, shared by both arms
            blocks.append(
                Block((0.5 + shift + rng.normal(0, 0.03, 8)).tolist(), (0.5 + shift + rng.normal(0, 0.03, 8)).tolist())
            )
        found = ratio_of_medians(blocks, seed=trial, resamples=300)
        hits += found.lo <= 1.0 <= found.hi
    assert hits >= 85


def test_one_block_says_nothing_about_its_spread() -> None:
    found = ratio_of_medians([Block([0.5], [0.4])])
    assert found.value == pytest.approx(1.25)
    assert (found.lo, found.hi) == (-math.inf, math.inf)


def test_a_block_with_one_empty_side_is_survived() -> None:
    found = ratio_of_medians([Block([0.5], []), Block([0.5], [0.5]), Block([0.5], [0.5])])
    assert found.value == 1.0
    assert math.isfinite(found.hi)


@pytest.mark.parametrize(
    ("upper", "void", "expected"),
    [
        (1.02, [], "met"),
        (1.0201, [], "missed"),
        (math.inf, [], "missed"),
        (0.9, ["starved"], "void"),
        (math.inf, ["starved"], "void"),
    ],
)
def test_verdict(upper: float, void: list[str], expected: str) -> None:
    assert verdict(upper, 1.02, void) == expected


def test_what_adds_up_is_compared_as_a_whole() -> None:
    blocks = [Block([1.0, 3.0], [2.0, 2.0]), Block([30.0], [20.0])]
    found = ratio_of_sums(blocks)
    assert found.value == pytest.approx(34 / 24)
    assert found.lo == pytest.approx(1.0)
    assert found.hi == pytest.approx(1.5)


def test_nothing_spent_is_no_ratio() -> None:
    with pytest.raises(ValueError, match="no samples"):
        ratio_of_sums([Block([1.0], []), Block([1.0], [])])


def test_a_quantile_by_that_of_what_was_measured_apart() -> None:
    theirs = [[1.0] * 10, [1.0] * 10, [1.0] * 10]
    found = ratio_of_quantiles([[1.0] * 19 + [9.0], [1.5] * 20], theirs, 0.5)
    assert found.value == pytest.approx(1.5)
    assert (found.lo, found.hi) == (1.0, 1.5)
    assert ratio_of_quantiles([[2.0]], theirs, 0.95).hi == math.inf, "one call says nothing of its spread"
