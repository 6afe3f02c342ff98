"""The scores of one configuration: all that `voicefleet tune` tells of it, from the records of its calls. Pure.

Each metric is defined in loadtest/README.md under "Scores".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from voicefleet.scoring.cost import WorkerSize
from voicefleet.scoring.intervals import NOTHING, Draw, Estimate, bootstrap, quantile_estimate, wilson
from voicefleet.scoring.intervals import rounded as r
from voicefleet.scoring.replies import HeardReply
from voicefleet.scoring.turn_taking import IgnoreEvent, ignores, turns, yields
from voicefleet.scoring.words import plain_words, word_errors
from voicefleet.tasks.record import SpeechKind, TaskRecord

UNANSWERED_S = 10.0
"""What a turn without an answer counts in TTFA, as in `voicefleet loadtest`."""
MOST_LAG_S = 0.25
"""A caller whose own loop was later than this measured itself: times of such a call are not used."""
IGNORED_KINDS = (SpeechKind.BACKCHANNEL, SpeechKind.COUGH, SpeechKind.SIDE_TALK)


@dataclass(frozen=True, slots=True)
class Scores:
    """What a configuration is worth.

    Attributes:
        name: of the configuration.
        calls: that ran; the base of `success`.
        failed: calls that failed at the connection or on the load generator's side; in no figure.
        late: calls whose times are not used, for the load generator lagged.
        success, slot_f1, reply_wer: shares, the last of words and may exceed 1.
        pass_k: chance that `k` calls of one task all succeed; None: no task was played so often.
        cut_in: share of the caller's turns into which the agent spoke.
        interruptions_per_turn: tau-voice's I_A, which counts a turn as often as it was cut into.
        response_rate, response_mean_s: tau-voice's R_R and L_R.
        ttfa_p50_s, ttfa_p95_s: end of turn to the agent's first sound; an unanswered turn is `UNANSWERED_S`.
        yield_rate, yield_mean_s: tau-voice's R_Y and L_Y.
        selectivity: mean of those in `ignored` that there are; `ignored`: by kind.
        cpu_s_per_call_min: the worker's processor seconds for a minute of a call.
        memory_bytes: the most that the worker had; None: not measured.
        calls_per_worker, price_per_call_min: of a worker of the size given.
    """

    name: str
    calls: int
    failed: int
    late: int
    success: Estimate
    k: int
    pass_k: float | None
    slot_f1: Estimate
    cut_in: Estimate
    interruptions_per_turn: float | None
    response_rate: Estimate
    response_mean_s: float | None
    ttfa_p50_s: Estimate
    ttfa_p95_s: Estimate
    yield_rate: Estimate
    yield_mean_s: float | None
    selectivity: float | None
    ignored: Mapping[SpeechKind, Estimate]
    reply_wer: Estimate
    cpu_s_per_call_min: Estimate
    memory_bytes: int | None
    calls_per_worker: int | None
    price_per_call_min: float | None

    def figures(self) -> dict[str, float | None]:
        """The plain figures, by the names that a rule of `voicefleet tune` uses."""
        return {
            "success": self.success.value,
            "pass_k": self.pass_k,
            "slot_f1": self.slot_f1.value,
            "cut_in_ratio": self.cut_in.value,
            "selectivity": self.selectivity,
            "reply_wer": self.reply_wer.value,
            "ttfa_p50_s": self.ttfa_p50_s.value,
            "ttfa_p95_s": self.ttfa_p95_s.value,
            "cpu_s_per_call_min": self.cpu_s_per_call_min.value,
            "calls_per_worker": self.calls_per_worker,
        }

    def to_json(self) -> dict[str, Any]:
        """JSON-ready: the figures, `<figure>_ci` beside those that have an interval, and what is behind them."""
        found: dict[str, Any] = {"name": self.name}
        intervals = {
            "success": self.success,
            "slot_f1": self.slot_f1,
            "cut_in_ratio": self.cut_in,
            "reply_wer": self.reply_wer,
            "ttfa_p50_s": self.ttfa_p50_s,
            "ttfa_p95_s": self.ttfa_p95_s,
            "cpu_s_per_call_min": self.cpu_s_per_call_min,
        }
        for name, value in self.figures().items():
            found[name] = r(value)
            if name in intervals:
                found[f"{name}_ci"] = intervals[name].interval()
        return found | {
            "k": self.k,
            "interruptions_per_turn": r(self.interruptions_per_turn),
            "response_rate": r(self.response_rate.value),
            "response_mean_s": r(self.response_mean_s),
            "yield_rate": r(self.yield_rate.value),
            "yield_rate_ci": self.yield_rate.interval(),
            "yield_mean_s": r(self.yield_mean_s),
            "selectivity_by_kind": {
                str(kind): {"right": r(found.value), "ci": found.interval(), "n": found.n}
                for kind, found in self.ignored.items()
            },
            "memory_bytes": self.memory_bytes,
            "price_per_call_min": r(self.price_per_call_min, 6),
            "counts": {
                "calls": self.calls,
                "failed_calls": self.failed,
                "calls_without_times": self.late,
                "turns": self.cut_in.n,
                "barge_ins": self.yield_rate.n,
                "reply_words": self.reply_wer.n,
            },
        }


def score(
    records: Sequence[TaskRecord],
    *,
    heard: Sequence[HeardReply] = (),
    worker: WorkerSize | None = None,
    k: int = 3,
) -> Scores:
    """The scores of the calls of one configuration; where nothing was measured a figure is None, never 0.

    Args:
        heard: its replies as a recogniser of their own heard them (`replies.hear`); empty: `reply_wer` is unknown.
        worker: the size of a worker.
        k: of pass^k.
    """
    worker = worker or WorkerSize()
    ran = [record for record in records if record.error is None]
    timed = [record for record in ran if (record.generator_lag_s or 0.0) <= MOST_LAG_S]
    by_task = grouped(ran)
    turned = [event for record in timed for event in turns(record)]
    answered = [event.response_s for event in turned if event.response_s is not None]
    unanswered = sum(event.unanswered for event in turned)
    yielded = [event for record in timed for event in yields(record)]
    ttfa = [ttfa_s(group) for group in grouped(timed).values()]
    ignored = _ignored([event for record in timed for event in ignores(record)])
    cpu = _cpu(by_task)
    fitting = worker.calls(cpu.value)
    return Scores(
        name=records[0].config if records else "",
        calls=len(ran),
        failed=len(records) - len(ran),
        late=len(ran) - len(timed),
        success=wilson(sum(record.success for record in ran), len(ran)),
        k=k,
        pass_k=pass_hat_k([[record.success for record in group] for group in by_task.values()], k),
        slot_f1=_slot_f1(by_task),
        cut_in=wilson(sum(bool(event.cut_ins) for event in turned), len(turned)),
        interruptions_per_turn=sum(len(event.cut_ins) for event in turned) / len(turned) if turned else None,
        response_rate=wilson(len(answered), len(answered) + unanswered),
        response_mean_s=fmean(answered) if answered else None,
        ttfa_p50_s=quantile_estimate(ttfa, 0.5),
        ttfa_p95_s=quantile_estimate(ttfa, 0.95),
        yield_rate=wilson(sum(event.latency_s is not None for event in yielded), len(yielded)),
        yield_mean_s=_mean(event.latency_s for event in yielded),
        selectivity=_mean(found.value for found in ignored.values()),
        ignored=ignored,
        reply_wer=_reply_wer(heard),
        cpu_s_per_call_min=cpu,
        memory_bytes=max((rec.worker_memory_bytes for rec in ran if rec.worker_memory_bytes is not None), default=None),
        calls_per_worker=fitting,
        price_per_call_min=worker.price_per_call_min(fitting),
    )


def grouped(records: Iterable[TaskRecord]) -> dict[str, list[TaskRecord]]:
    """The records of each task, by its id."""
    found: dict[str, list[TaskRecord]] = {}
    for record in records:
        found.setdefault(record.task, []).append(record)
    return found


def ttfa_s(records: Iterable[TaskRecord]) -> list[float]:
    """Each turn's wait for its answer; unanswered: `UNANSWERED_S`. One that ends under the agent's voice has none."""
    found = []
    for record in records:
        for event in turns(record):
            if event.response_s is not None:
                found.append(event.response_s)
            elif event.unanswered:
                found.append(UNANSWERED_S)
    return found


def pass_hat_k(tasks: Iterable[Sequence[bool]], k: int) -> float | None:
    """Chance that `k` calls of a task all succeed: the mean of C(successes, k) / C(calls, k) over tasks that were
    played `k` times or more (Yao et al. 2024, arXiv 2406.12045); None: none was.
    """
    values = [math.comb(sum(task), k) / math.comb(len(task), k) for task in tasks if len(task) >= k]
    return fmean(values) if values else None


def _slot_f1(by_task: Mapping[str, Sequence[TaskRecord]]) -> Estimate:
    """Micro F1 over slots: a wrong value is a miss and a false one, a value that nobody gave is a false one."""
    counts = [
        (
            sum(slot.right for rec in group for slot in rec.slots),
            sum(len(rec.slots) for rec in group),
            sum(len(rec.extra_slots) + sum(slot.got is not None for slot in rec.slots) for rec in group),
        )
        for group in by_task.values()
        if any(rec.slots for rec in group)
    ]
    # F1 = 2 right / (wanted + given)
    return _ratio([(2 * right, wanted + given) for right, wanted, given in counts], sum(c[1] for c in counts))


def _reply_wer(heard: Sequence[HeardReply]) -> Estimate:
    by_task: dict[str, list[tuple[int, int]]] = {}
    for reply in heard:
        said = plain_words(reply.text)
        by_task.setdefault(reply.task, []).append((word_errors(said, plain_words(reply.heard)), len(said)))
    sums = [(sum(e for e, _ in pairs), sum(n for _, n in pairs)) for pairs in by_task.values()]
    return _ratio(sums, sum(words for _, words in sums))


def _cpu(by_task: Mapping[str, Sequence[TaskRecord]]) -> Estimate:
    pairs = []
    calls = 0
    for group in by_task.values():
        known = [(rec.worker_cpu_s, rec.duration_s / 60) for rec in group if rec.worker_cpu_s is not None]
        calls += len(known)
        if known:
            pairs.append((sum(cpu for cpu, _ in known), sum(minutes for _, minutes in known)))
    return _ratio(pairs, calls)


def _ratio(pairs: Sequence[tuple[float, float]], n: int) -> Estimate:
    """All first numbers by all second ones, one pair a task."""
    if not pairs:
        return NOTHING
    above, below = np.array(pairs, dtype=np.float64).T

    def figure(chosen: Draw) -> float:
        total = float(below[chosen].sum())
        return float(above[chosen].sum()) / total if total else math.nan

    return bootstrap(figure, len(pairs), n)


def _ignored(events: Sequence[IgnoreEvent]) -> dict[SpeechKind, Estimate]:
    found = {}
    for kind in IGNORED_KINDS:
        of_it = [event.right for event in events if event.kind is kind]
        if of_it:
            found[kind] = wilson(sum(of_it), len(of_it))
    return found


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
