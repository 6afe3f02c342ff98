"""Whether a second run was worse than a first: each figure's change, with an interval. Pure.

Turns of one call are not independent, so whole calls are drawn anew (a bootstrap by call). Shares of calls have
Newcombe's interval, since a bootstrap of a run without failures knows of none. The intervals hold together: of ten
figures without any change, all ten are inside with 95 %.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicefleet.callers.outcome import CallOutcome, samples
from voicefleet.loadtest.figures import Figures, figures_of

LATENCIES = ("ttfa_p50", "ttfa_p95", "pickup_p50", "pickup_p95")
SHARES = ("calls_failed_ratio",)
FEWEST = 20
"""Calls of each run: with fewer a p95 is hardly more than the longest wait."""
_CONFIDENCE = 0.95
_DRAWS = 2000
_PERCENTS = (50, 95)
_CELLS = 4_000_000
"""Numbers in memory at once."""

Samples = NDArray[np.float64]


class Change(enum.StrEnum):
    """worse, better: certain by the interval; none: no change could be told from chance; unknown: not measured."""

    WORSE = "worse"
    BETTER = "better"
    NONE = "none"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure of both runs.

    Attributes:
        figure: its name.
        before, after: its values; None: not measured.
        low, high: interval of the change: of ``after / before - 1`` for a latency, of ``after - before`` for a share.
        change: what the interval says, beyond what is allowed.
    """

    figure: str
    before: float | None
    after: float | None
    low: float | None
    high: float | None
    change: Change

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self)


def compare(
    before: Sequence[CallOutcome],
    after: Sequence[CallOutcome],
    *,
    allowed: float,
    timeout_s: float = 10.0,
    seed: int = 1,
) -> list[Compared]:
    """The figures of two runs side by side.

    Args:
        before, after: the calls of each, at least one.
        allowed: share by which a latency, and difference by which a share of calls, may rise; 0.05 is 5 %.
        timeout_s: what a turn without an answer counts, at least.
        seed: of the bootstrap.
    """
    rng = np.random.default_rng(seed)
    sides = figures_of(before, timeout_s), figures_of(after, timeout_s)
    alpha = (1 - _CONFIDENCE) / (len(LATENCIES) + len(SHARES))
    draws = {
        name: (_draws(before, name, timeout_s, rng), _draws(after, name, timeout_s, rng)) for name in ("ttfa", "pickup")
    }
    found = []
    for name in LATENCIES:
        latency, _, percent = name.partition("_p")
        quantiles = [drawn[int(percent)] for drawn in draws[latency]]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = quantiles[1] / quantiles[0] - 1
        found.append(_compared(name, sides, *_interval(ratios, alpha), allowed))
    for name in SHARES:
        interval = _newcombe(sides[0], sides[1], name.removesuffix("_ratio"), alpha)
        found.append(_compared(name, sides, *interval, allowed))
    return found


def _compared(
    name: str, sides: tuple[Figures, Figures], low: float | None, high: float | None, allowed: float
) -> Compared:
    if low is None or high is None:
        change = Change.UNKNOWN
    else:
        change = Change.WORSE if low > allowed else Change.BETTER if high < -allowed else Change.NONE
    return Compared(name, sides[0][name], sides[1][name], low, high, change)


def _draws(
    calls: Sequence[CallOutcome], latency: str, timeout_s: float, rng: np.random.Generator
) -> dict[int, Samples]:
    """p50 and p95 of `_DRAWS` runs, each of as many calls drawn from these; NaN for one without a sample."""
    by_call = [samples([call], timeout_s)[f"{latency}_s"] for call in calls]
    owner = np.repeat(np.arange(len(calls)), [len(values) for values in by_call])
    values = np.array([value for call in by_call for value in call], dtype=np.float64)
    order = np.argsort(values, kind="stable")
    values, owner = values[order], owner[order]
    found = np.full((_DRAWS, len(_PERCENTS)), np.nan)
    if values.size:
        rows = max(1, _CELLS // max(values.size, len(calls)))
        for begin in range(0, _DRAWS, rows):
            count = min(rows, _DRAWS - begin)
            times = rng.multinomial(len(calls), np.full(len(calls), 1 / len(calls)), size=count)
            found[begin : begin + count] = [_quantiles(values, drawn) for drawn in np.cumsum(times[:, owner], axis=1)]
    return {percent: found[:, column] for column, percent in enumerate(_PERCENTS)}


def _quantiles(values: Samples, below: NDArray[np.int64]) -> list[float]:
    """As `np.quantile` would of sorted `values`, each so many times that the sum up to it is `below`."""
    if not below[-1]:
        return [math.nan] * len(_PERCENTS)
    places = [(below[-1] - 1) * percent / 100 for percent in _PERCENTS]
    lower = values[np.searchsorted(below, np.floor(places), side="right")]
    upper = values[np.searchsorted(below, np.ceil(places), side="right")]
    return [float(a + (b - a) * (at % 1)) for a, b, at in zip(lower, upper, places, strict=True)]


def _interval(values: Samples, alpha: float) -> tuple[float | None, float | None]:
    known = values[np.isfinite(values)]
    if known.size < values.size / 2:
        return None, None
    low, high = np.quantile(known, (alpha / 2, 1 - alpha / 2))
    return float(low), float(high)


def _newcombe(before: Figures, after: Figures, count: str, alpha: float) -> tuple[float | None, float | None]:
    """Interval of the difference of two shares of calls (Newcombe 1998, method 10)."""
    z = NormalDist().inv_cdf(1 - alpha / 2)
    sides = []
    for figures in (before, after):
        total, hits = figures["calls"] or 0.0, figures[count] or 0.0
        if not total:
            return None, None
        share = hits / total
        middle, spread = (
            share + z * z / (2 * total),
            z * math.sqrt(share * (1 - share) / total + z * z / (4 * total**2)),
        )
        sides.append((share, (middle - spread) / (1 + z * z / total), (middle + spread) / (1 + z * z / total)))
    (p0, low0, high0), (p1, low1, high1) = sides
    difference = p1 - p0
    return (
        difference - math.hypot(p1 - low1, high0 - p0),
        difference + math.hypot(high1 - p1, p0 - low0),
    )
