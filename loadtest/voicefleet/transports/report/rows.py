"""From the runs of a cell to its row: figures of each healthy run, their mean and its interval. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from voicefleet.contract.metrics.emodel import mos, rating_of_delay
from voicefleet.speech.onset_detector import Samples
from voicefleet.transports.analysis.playout import PLAYOUT_MS, on_time, play, stalls
from voicefleet.transports.cells import Cell
from voicefleet.transports.protocols.frames import FRAME_S
from voicefleet.transports.trial import Ear, Trial

Quality = Callable[[Samples, Samples], float | None]
"""Score of what was heard against what was said (both int16, 16 kHz): PESQ; None where it cannot be told."""

FIGURES = (
    "delay_p50_ms",
    "delay_p95_ms",
    "delay_p99_ms",
    "late_ratio",
    "lost_ratio",
    "concealed_ratio",
    "stalls",
    "bytes_per_s",
    "connect_ms",
    "first_audio_ms",
    "pesq",
    "mos",
)


@dataclass(frozen=True, slots=True)
class NotRun:
    """A cell that this machine could not run, and why."""

    cell: Cell
    reason: str


def floor_ms(cell: Cell, trials: Sequence[Trial]) -> float:
    """The arm's own mouth-to-ear delay at this round trip, with nothing lost: what a late frame is late against.

    Frames of the plain arms can be played the moment they are there. WebRTC's codec and least jitter buffer come on
    top: that is what its fastest runs at this round trip show.
    """
    plain = cell.rtt_ms / 2 + 1000 * FRAME_S
    if not cell.arm.webrtc:
        return plain
    same = [t for t in trials if t.cell.arm == cell.arm and t.cell.rtt_ms == cell.rtt_ms and not t.void]
    fastest = [np.nanpercentile(ear.delay_ms, 5) for t in same for ear in t.ears if not np.all(np.isnan(ear.delay_ms))]
    return float(min(fastest, default=plain))


def figures(trial: Trial, floor: float, quality: Quality) -> dict[str, float | None]:
    """One run's."""
    both = np.concatenate([ear.delay_ms for ear in trial.ears])
    known = both[~np.isnan(both)]
    p50, p95, p99 = np.percentile(known, (50, 95, 99)) if known.size else (None, None, None)
    deadline = floor + PLAYOUT_MS
    concealed = _mean([_concealed(ear, deadline) for ear in trial.ears])
    # Plain frames wait for the fixed playout; WebRTC's delay is measured behind its own.
    to_ear = p50 if trial.cell.arm.webrtc else deadline
    minutes = trial.seconds * len(trial.ears) / 60
    return {
        "delay_p50_ms": _number(p50),
        "delay_p95_ms": _number(p95),
        "delay_p99_ms": _number(p99),
        "late_ratio": float(np.mean(known > deadline) * known.size / both.size) if known.size else None,
        "lost_ratio": _mean([ear.lost_ratio for ear in trial.ears]),
        "concealed_ratio": concealed,
        "stalls": sum(_stalls(ear, deadline) for ear in trial.ears) / minutes,
        "bytes_per_s": _number(trial.bytes_per_s),
        "connect_ms": trial.connect_ms,
        "first_audio_ms": trial.first_audio_ms,
        "pesq": _mean([quality(ear.said, heard_of(ear, deadline)) for ear in trial.ears]),
        "mos": None if concealed is None or to_ear is None else mos(rating_of_delay(float(to_ear), concealed)),
    }


def heard_of(ear: Ear, deadline_ms: float) -> Samples:
    """What the ear heard: of frames, after a playout at the deadline."""
    if not ear.pcm.size:
        return ear.heard
    return play(ear.pcm, on_time(ear.delay_ms, deadline_ms))


def row(cell: Cell, trials: Sequence[Trial], every: Sequence[Trial], quality: Quality) -> dict[str, Any]:
    """The cell's, of its healthy runs. `every` run of the lab tells the arm's floor."""
    healthy = [trial for trial in trials if not trial.void]
    floor = floor_ms(cell, every)
    runs = [figures(trial, floor, quality) for trial in healthy]
    means = {name: _mean([run[name] for run in runs]) for name in FIGURES}
    return {
        **_head(cell),
        **{name: _rounded(value) for name, value in means.items()},
        "void": not healthy,
        "seeds": len(healthy),
        "void_runs": len(trials) - len(healthy),
        "deadline_ms": round(floor + PLAYOUT_MS, 1),
        "intervals": {name: interval([run[name] for run in runs]) for name in FIGURES},
    }


def row_not_run(missing: NotRun) -> dict[str, Any]:
    """Nothing is known, which is not good."""
    unknown = dict.fromkeys(FIGURES)
    return {**_head(missing.cell), **unknown, "void": True, "seeds": 0, "not_run": missing.reason}


def interval(values: Sequence[float | None]) -> list[float] | None:
    """95 % interval of the mean, by Student's t; None for fewer than two values."""
    known = [v for v in values if v is not None and not math.isnan(v)]
    if len(known) < 2:
        return None
    from scipy import stats  # takes half a second, which no other command should pay

    half = stats.t.ppf(0.975, len(known) - 1) * stats.sem(known)
    mean = float(np.mean(known))
    return [float(f"{mean - half:.5g}"), float(f"{mean + half:.5g}")]


def _head(cell: Cell) -> dict[str, Any]:
    return {
        "arm": cell.arm.id,
        "rtt_ms": cell.rtt_ms,
        "loss": cell.loss,
        "jitter_ms": cell.jitter_ms,
        "reorder": cell.reorder,
        "rate_kbps": cell.rate_kbps,
    }


def _concealed(ear: Ear, deadline_ms: float) -> float | None:
    if ear.pcm.size:
        return float(1 - np.mean(on_time(ear.delay_ms, deadline_ms)))
    return ear.concealed_ratio


def _stalls(ear: Ear, deadline_ms: float) -> int:
    if ear.pcm.size:
        return stalls(on_time(ear.delay_ms, deadline_ms))
    return ear.holes


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None and not math.isnan(v)]
    return float(np.mean(known)) if known else None


def _number(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def by_cell(trials: Sequence[Trial]) -> Mapping[Cell, list[Trial]]:
    """The runs of each cell, in order."""
    out: dict[Cell, list[Trial]] = {}
    for trial in trials:
        out.setdefault(trial.cell, []).append(trial)
    return out
