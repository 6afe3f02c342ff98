"""Which configurations nobody beats in success and in speed at once, and how sure that is. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from voicefleet.scoring.intervals import Draw, Estimate, draws
from voicefleet.scoring.score import MOST_LAG_S, Scores, ttfa_s
from voicefleet.tasks.record import TaskRecord

Point = tuple[float, float]
"""Success (more is better), TTFA in seconds (less is better)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A configuration's place.

    Attributes:
        on_front: no other has more success at the same TTFA or less, nor less TTFA at the same success or more.
        share: in so many of the draws of the bootstrap it was on the front: 1.0 is certain, 0.5 a coin.
    """

    on_front: bool
    share: float


def front(configs: Mapping[str, Sequence[TaskRecord]], *, q: float = 0.95, seed: int = 0) -> dict[str, Standing]:
    """Each configuration's standing by success and the quantile `q` of TTFA.

    In each draw all configurations get the same tasks, for a hard one is hard for all. One that lacks a figure is on no
    front.
    """
    tasks = sorted({record.task for records in configs.values() for record in records})
    tables = {name: _Table(records, tasks, q) for name, records in configs.items()}
    whole = np.arange(len(tasks))
    on_front = _best({name: table.point(whole) for name, table in tables.items()})
    drawn = draws(len(tasks), seed=seed, resamples=400)
    times = dict.fromkeys(configs, 0)
    for chosen in drawn:
        for name in _best({name: table.point(chosen) for name, table in tables.items()}):
            times[name] += 1
    return {name: Standing(name in on_front, times[name] / len(drawn) if drawn else 0.0) for name in configs}


def distinct(scores: Sequence[Scores]) -> tuple[str, ...]:
    """The longest row of configurations, each better and slower (success, TTFA p50) than the one before by more than
    their intervals. Where it has one name only, there is nothing to choose between. By the median, since one turn that
    nobody answers stretches the interval of a p95 over all others.
    """
    known = [s for s in scores if None not in (*s.success.interval(), *s.ttfa_p50_s.interval())]
    rows: list[tuple[Scores, ...]] = []
    for one in sorted(known, key=lambda s: s.ttfa_p50_s.lo or 0.0):
        before = [row for row in rows if _clearly_before(row[-1], one)]
        rows.append((*max(before, key=len, default=()), one))
    return tuple(s.name for s in max(rows, key=len, default=()))


class _Table:
    """One configuration's calls by task, so that a draw is quick to sum up."""

    def __init__(self, records: Sequence[TaskRecord], tasks: Sequence[str], q: float) -> None:
        ran = [record for record in records if record.error is None]
        of = {task: [record for record in ran if record.task == task] for task in tasks}
        self._q = q
        self._calls = np.array([len(of[task]) for task in tasks])
        self._good = np.array([sum(record.success for record in of[task]) for task in tasks])
        self._ttfa = [np.array(ttfa_s(r for r in of[t] if (r.generator_lag_s or 0.0) <= MOST_LAG_S)) for t in tasks]

    def point(self, chosen: Draw) -> Point | None:
        calls = int(self._calls[chosen].sum()) if len(chosen) else 0
        waits = np.concatenate([self._ttfa[i] for i in chosen]) if len(chosen) else np.empty(0)
        if not calls or not waits.size:
            return None
        return float(self._good[chosen].sum()) / calls, float(np.quantile(waits, self._q))


def _best(points: Mapping[str, Point | None]) -> set[str]:
    known = {name: point for name, point in points.items() if point is not None}
    return {name for name, point in known.items() if not any(_beats(other, point) for other in known.values())}


def _beats(one: Point, other: Point) -> bool:
    return one != other and one[0] >= other[0] and one[1] <= other[1]


def _clearly_before(one: Scores, other: Scores) -> bool:
    return _below(one.success, other.success) and _below(one.ttfa_p50_s, other.ttfa_p50_s)


def _below(one: Estimate, other: Estimate) -> bool:
    """Whether the whole interval of `one` lies below that of `other`."""
    return (math.inf if one.hi is None else one.hi) < (-math.inf if other.lo is None else other.lo)
