"""The figures of one setting from its plays: `scoring` measures them, this names them as the result does. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from voicefleet.tasks.record import TaskRecord
from voicefleet.tuning.rule import METRICS, Figures


def turn_delays_s(record: TaskRecord) -> list[float | None]:
    """TTFA of each turn that wanted a reply; None: no reply, or the agent cut in."""
    found: list[float | None] = []
    speeches = [s for s in record.caller if s.kind.wants_reply]
    for n, speech in enumerate(speeches):
        until_s = speeches[n + 1].from_s if n + 1 < len(speeches) else record.duration_s
        began = [b for b, _ in record.agent if speech.to_s <= b < until_s]
        found.append(None if cut_in(record, n) or not began else began[0] - speech.to_s)
    return found


def cut_in(record: TaskRecord, number: int) -> bool:
    """Whether the agent began to speak inside this turn."""
    speech = [s for s in record.caller if s.kind.wants_reply][number]
    return any(speech.from_s < begin < speech.to_s for begin, _ in record.agent)


def figures(records: Sequence[TaskRecord]) -> Figures:
    """Every metric of `rule.METRICS`; None where it is unknown."""
    played = [r for r in records if r.error is None]
    if not played:
        return {}
    delays = [d for r in played for d in turn_delays_s(r) if d is not None]
    turns = sum(len(turn_delays_s(r)) for r in played)
    cut = sum(cut_in(r, n) for r in played for n in range(len(turn_delays_s(r))))
    minutes = sum(r.duration_s for r in played if r.worker_cpu_s is not None) / 60
    return {
        "success": sum(r.success for r in played) / len(played),
        "cut_in_ratio": cut / turns if turns else None,
        "ttfa_p50_s": float(np.quantile(delays, 0.5)) if delays else None,
        "ttfa_p95_s": float(np.quantile(delays, 0.95)) if delays else None,
        "cpu_s_per_call_min": sum(r.worker_cpu_s or 0.0 for r in played) / minutes if minutes else None,
    }


def row_of(name: str, records: Sequence[TaskRecord], price: float) -> dict[str, Any]:
    """One setting as the result tells it; `price`: of a worker-hour, 0: none."""
    found = figures(records)
    won, played = sum(r.success for r in records if r.error is None), sum(r.error is None for r in records)
    calls = found.get("calls_per_worker")
    return {
        "name": name,
        "success": None,
        **{metric: found.get(metric) for metric in METRICS},
        "success_ci": list(wilson(won, played)),
        "plays": played,
        "failed": len(records) - played,
        "memory_bytes": max((r.worker_memory_bytes or 0 for r in records), default=0) or None,
        "price_per_call_min": price / 60 / max(1, int(calls)) if price and calls else None,
    }


def wilson(won: int, of: int) -> tuple[float | None, float | None]:
    """The 95 % interval of a share."""
    if not of:
        return None, None
    z, p = 1.96, won / of
    middle, half = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return (middle - half) / (1 + z * z / of), (middle + half) / (1 + z * z / of)


def front(plays: Mapping[str, Sequence[TaskRecord]], seed: int) -> frozenset[str]:
    """The settings that no other beats in both success and TTFA p95."""
    points = {}
    for name, records in plays.items():
        row = figures(records)
        success, ttfa = row.get("success"), row.get("ttfa_p95_s")
        if success is not None and ttfa is not None:
            points[name] = (-success, ttfa)
    return frozenset(
        n for n, a in points.items() if not any(b != a and b[0] <= a[0] and b[1] <= a[1] for b in points.values())
    )


def paired(mine: Sequence[TaskRecord], theirs: Sequence[TaskRecord]) -> dict[str, Any]:
    """Differences, mine less theirs, over the tasks that both played."""
    a, b = figures(mine), figures(theirs)
    found: dict[str, Any] = {}
    for metric in ("success", "cut_in_ratio", "ttfa_p50_s"):
        one, other = a.get(metric), b.get(metric)
        found[metric] = None if one is None or other is None else one - other
    return found
