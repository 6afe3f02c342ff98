"""Medians, their ratios, and how sure one can be of them. Pure: no I/O, and the random numbers come from a seed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Indices = NDArray[np.int64]

RESAMPLES = 4000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Block:
    """What was measured side by side: the samples of both arms that share a moment and a script.

    Blocks, never single samples, are drawn again by the bootstrap: the turns of a call are alike, and so are the calls
    of a moment, so that samples counted one by one would promise more than they can keep.
    """

    ours: Sequence[float]
    theirs: Sequence[float]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % interval; the interval is as wide as can be where nothing is known."""

    value: float
    lo: float
    hi: float


def median(samples: Iterable[float]) -> float:
    """The middle sample, the mean of the two middle ones for an even number.

    Raises:
        ValueError: there are no samples.
    """
    return quantile(samples, 0.5)


def quantile(samples: Iterable[float], q: float) -> float:
    """Linear between neighbours.

    Raises:
        ValueError: there are no samples.
    """
    values = list(samples)
    if not values:
        raise ValueError("no samples")
    return float(np.quantile(values, q))


def ratio_of_medians(blocks: Sequence[Block], *, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """Median of all our samples by the median of all theirs, with a percentile bootstrap over whole blocks.

    Raises:
        ValueError: an arm has no samples.
    """
    ours = [np.asarray(block.ours, dtype=np.float64) for block in blocks]
    theirs = [np.asarray(block.theirs, dtype=np.float64) for block in blocks]

    def ratio(chosen: Indices) -> float:
        return _pooled_median(ours, chosen) / _pooled_median(theirs, chosen)

    return _bootstrap(ratio, len(blocks), seed, resamples)


def ratio_of_sums(blocks: Sequence[Block], *, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """All of ours by all of theirs, with a percentile bootstrap over whole blocks: for what adds up, as CPU time does.

    Raises:
        ValueError: an arm has no samples.
    """
    ours = np.array([sum(block.ours) for block in blocks])
    theirs = np.array([sum(block.theirs) for block in blocks])

    def ratio(chosen: Indices) -> float:
        total = float(theirs[chosen].sum())
        return float(ours[chosen].sum()) / total if total else float("nan")

    return _bootstrap(ratio, len(blocks), seed, resamples)


def ratio_of_quantiles(
    ours: Sequence[Sequence[float]],
    theirs: Sequence[Sequence[float]],
    q: float,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate:
    """A quantile of all our samples by that of all theirs, where both were measured apart, with a percentile bootstrap
    over whole groups of each.

    Raises:
        ValueError: an arm has no samples.
    """
    rng = np.random.default_rng(seed)

    def drawn(groups: Sequence[Sequence[float]]) -> float:
        chosen = rng.integers(len(groups), size=len(groups))
        samples = [sample for i in chosen for sample in groups[i]]
        return quantile(samples, q) if samples else float("nan")

    value = quantile((s for group in ours for s in group), q) / quantile((s for group in theirs for s in group), q)
    if min(len(ours), len(theirs)) < 2:
        return Estimate(value, float("-inf"), float("inf"))
    lo, hi = np.nanquantile([drawn(ours) / drawn(theirs) for _ in range(resamples)], ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Estimate(value, float(lo), float(hi))


def median_estimate(groups: Sequence[Sequence[float]], *, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """Median of all samples, with a percentile bootstrap over whole groups.

    Raises:
        ValueError: there are no samples.
    """
    arrays = [np.asarray(group, dtype=np.float64) for group in groups]
    return _bootstrap(lambda chosen: _pooled_median(arrays, chosen), len(groups), seed, resamples)


def _pooled_median(arrays: Sequence[NDArray[np.float64]], chosen: Indices) -> float:
    pooled = np.concatenate([arrays[i] for i in chosen]) if len(chosen) else np.empty(0)
    # A draw of blocks that are all empty on one side says nothing.
    return float(np.median(pooled)) if pooled.size else float("nan")


def _bootstrap(figure: Callable[[Indices], float], blocks: int, seed: int, resamples: int) -> Estimate:
    whole = np.arange(blocks)
    value = figure(whole)
    if not np.isfinite(value):
        raise ValueError("no samples")
    if blocks < 2:
        return Estimate(value, float("-inf"), float("inf"))
    rng = np.random.default_rng(seed)
    with warnings.catch_warnings():
        # Not its confidence_interval: one draw that says nothing would make it unknown.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        drawn = stats.bootstrap((whole,), figure, n_resamples=resamples, vectorized=False, method="percentile", rng=rng)
    tail = (1 - LEVEL) / 2
    lo, hi = np.nanquantile(drawn.bootstrap_distribution, (tail, 1 - tail))
    return Estimate(value, float(lo), float(hi))


def verdict(upper: float, bound: float, void: Sequence[str]) -> str:
    """ "void" when anything spoke against the run, else "met" when even the upper end is within the bound."""
    if void:
        return "void"
    return "met" if upper <= bound else "missed"
