"""One configuration against another on the same tasks: paired differences and how sure one can be of them. Pure.

A hard task is hard for both, so the difference within a task is known better than either figure. Tasks that only one of
them played say nothing and are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean
from typing import Any

import numpy as np

from voicefleet.scoring.intervals import Draw, Estimate, bootstrap, mean_estimate, rounded
from voicefleet.scoring.score import MOST_LAG_S, grouped, ttfa_s
from voicefleet.scoring.turn_taking import ignores, turns
from voicefleet.tasks.record import TaskRecord


class Verdict(StrEnum):
    """What a difference's interval says."""

    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Difference:
    """Ours less theirs, or ours by theirs for a ratio. `estimate.n`: tasks that both played and that tell it."""

    estimate: Estimate
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "value": rounded(self.estimate.value),
            "ci": self.estimate.interval(),
            "tasks": self.estimate.n,
            "verdict": str(self.verdict),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Ours against theirs.

    Attributes:
        tasks: that both played.
        success, cut_in, selectivity: differences of shares, the mean over tasks of each task's own.
        ttfa_p50_ratio, ttfa_p95_ratio: ours by theirs, all turns of the same tasks.
    """

    tasks: int
    success: Difference
    cut_in: Difference
    selectivity: Difference
    ttfa_p50_ratio: Difference
    ttfa_p95_ratio: Difference

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "tasks": self.tasks,
            "success_difference": self.success.to_json(),
            "cut_in_difference": self.cut_in.to_json(),
            "selectivity_difference": self.selectivity.to_json(),
            "ttfa_p50_ratio": self.ttfa_p50_ratio.to_json(),
            "ttfa_p95_ratio": self.ttfa_p95_ratio.to_json(),
        }


Figure = Callable[[Sequence[TaskRecord]], float | None]
"""A figure of the calls of one task; None: they do not tell it."""


def compare(ours: Sequence[TaskRecord], theirs: Sequence[TaskRecord]) -> Comparison:
    """Ours against theirs; calls that failed on our side are left out."""
    mine = grouped(record for record in ours if record.error is None)
    other = grouped(record for record in theirs if record.error is None)
    pairs = [(mine[task], other[task]) for task in sorted(mine.keys() & other.keys())]
    return Comparison(
        tasks=len(pairs),
        success=_difference(pairs, lambda records: fmean(record.success for record in records), more_is_better=True),
        cut_in=_difference(pairs, _cut_in, more_is_better=False),
        selectivity=_difference(pairs, _selectivity, more_is_better=True),
        ttfa_p50_ratio=_ratio(pairs, 0.5),
        ttfa_p95_ratio=_ratio(pairs, 0.95),
    )


_Pairs = Sequence[tuple[Sequence[TaskRecord], Sequence[TaskRecord]]]


def _difference(pairs: _Pairs, figure: Figure, *, more_is_better: bool) -> Difference:
    both = [(figure(ours), figure(theirs)) for ours, theirs in pairs]
    estimate = mean_estimate([a - b for a, b in both if a is not None and b is not None])
    return Difference(estimate, _verdict(estimate, 0.0, more_is_better=more_is_better))


def _ratio(pairs: _Pairs, q: float) -> Difference:
    ours = [np.array(ttfa_s(_timed(a))) for a, _ in pairs]
    theirs = [np.array(ttfa_s(_timed(b))) for _, b in pairs]

    def figure(chosen: Draw) -> float:
        a, b = (np.concatenate([arm[i] for i in chosen]) if len(chosen) else np.empty(0) for arm in (ours, theirs))
        if not a.size or not b.size:
            return math.nan
        below = float(np.quantile(b, q))
        return float(np.quantile(a, q)) / below if below else math.nan

    estimate = bootstrap(figure, len(pairs), len(pairs))
    return Difference(estimate, _verdict(estimate, 1.0, more_is_better=False))


def _verdict(estimate: Estimate, equal: float, *, more_is_better: bool) -> Verdict:
    if estimate.lo is None or estimate.hi is None or estimate.lo <= equal <= estimate.hi:
        return Verdict.UNDECIDED
    return Verdict.BETTER if (estimate.lo > equal) == more_is_better else Verdict.WORSE


def _cut_in(records: Sequence[TaskRecord]) -> float | None:
    found = [bool(event.cut_ins) for record in _timed(records) for event in turns(record)]
    return fmean(found) if found else None


def _selectivity(records: Sequence[TaskRecord]) -> float | None:
    found = [event.right for record in _timed(records) for event in ignores(record)]
    return fmean(found) if found else None


def _timed(records: Sequence[TaskRecord]) -> list[TaskRecord]:
    return [record for record in records if (record.generator_lag_s or 0.0) <= MOST_LAG_S]
