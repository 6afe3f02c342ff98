"""What a sweep comes to: rows, evidence in sentences, and its JSON. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from voicefleet.scoring.compare import compare
from voicefleet.scoring.cost import WorkerSize
from voicefleet.scoring.pareto import distinct, front
from voicefleet.scoring.replies import HeardReply
from voicefleet.scoring.score import Scores, score
from voicefleet.tuning.options import TuneOptions
from voicefleet.tuning.rule import Figures
from voicefleet.tuning.space import Candidate
from voicefleet.tuning.sweep import HELDOUT, TUNING, Found
from voicefleet.tuning.trial_log import TrialLog


@dataclass(frozen=True)
class SweepResult:
    """Everything that is written.

    Attributes:
        others: the other points of the front.
        by_name: setting -> its row.
        slots: calls per worker of the chosen setting, at least one.
        scores: setting -> its scores on the tuning part.
        evidence: what was measured and how, in sentences.
        document: the JSON that ``--json`` writes.
    """

    chosen: Candidate
    others: tuple[Candidate, ...]
    by_name: Mapping[str, Figures]
    slots: int
    scores: Mapping[str, Scores]
    evidence: tuple[str, ...]
    document: Mapping[str, Any]


def build_result(
    found: Found,
    log: TrialLog,
    options: TuneOptions,
    tasks: str,
    *,
    simulated: Sequence[str],
    machine: Mapping[str, Any],
    spent_s: float,
    heard: Mapping[str, Sequence[HeardReply]] = MappingProxyType({}),
) -> SweepResult:
    """Rows of all settings, the best by the rule first, and what is said of them.

    Args:
        heard: setting -> its replies as another recogniser heard them, of those for which this was asked.
        spent_s: the whole sweep has taken so long.
    """
    worker = WorkerSize(cores=float(machine["cores"]), price_per_hour=options.price or None)
    # Of the last ones what all have played: a budget may end in the middle of a row.
    plays = {c.name: log.of(c.name, TUNING) for c in found.settings} | log.common(found.finalists, TUNING)
    scores = {name: score(records, heard=heard.get(name, ()), worker=worker) for name, records in plays.items()}
    # Those that left early played fewer, other tasks: beside the last ones their figures are no fair comparison.
    standing = front({name: plays[name] for name in found.finalists}, seed=options.seed)
    rows: dict[str, dict[str, Any]] = {
        name: {
            **scores[name].to_json(),
            "finalist": name in standing,
            "pareto": name in standing and standing[name].on_front,
            "pareto_share": standing[name].share if name in standing else None,
        }
        for name in plays
    }
    on_front = {name for name, place in standing.items() if place.on_front}
    apart = distinct([scores[name] for name in found.finalists if name in on_front])
    # Those that played most come first: a setting that left early was measured by a few calls only.
    ranked = sorted(rows, key=lambda n: (n != found.chosen.name, n not in found.finalists, options.rule.key(rows[n])))
    heldout = heldout_document(log, found, worker)
    chosen = rows[found.chosen.name]
    slots = max(1, math.floor(chosen.get("calls_per_worker") or 1))
    evidence = _evidence(apart, found, rows, heldout, options, tasks, log, machine, simulated)
    document = {
        "configs": [rows[name] for name in ranked],
        "endpointing": log.curve,
        "chosen": found.chosen.name,
        "rule": options.rule.text,
        "why": found.choice.why,
        "within_bounds": found.choice.within_bounds,
        "heldout": heldout,
        "simulated_stages": list(simulated),
        "plan": {"slots": slots, "price_per_worker_hour": options.price or None},
        "distinct": list(apart),
        "machine": dict(machine),
        "sweep": {
            "tasks": tasks,
            "seed": options.seed,
            "calls": len(log.records),
            "calls_at_once": options.at_once,
            "budget_s": options.budget_s,
            "spent_s": round(spent_s, 1),
            "rounds": [[len(r.settings), len(r.plays)] for r in log.rounds],
        },
    }
    others = tuple(c for c in found.settings if c.name in on_front and c is not found.chosen)
    return SweepResult(found.chosen, others, rows, slots, scores, evidence, document)


def heldout_document(log: TrialLog, found: Found, worker: WorkerSize) -> dict[str, Any]:
    """The chosen setting and the default on the tasks that both played, and their paired differences."""
    mine, theirs = (log.of(name, HELDOUT) for name in found.heldout)
    both = {r.task for r in mine} & {r.task for r in theirs}
    mine, theirs = [r for r in mine if r.task in both], [r for r in theirs if r.task in both]
    return {
        "tasks": len(both),
        "chosen": score(mine, worker=worker).to_json(),
        "default": score(theirs, worker=worker).to_json(),
        "difference": compare(mine, theirs).to_json(),
    }


def _evidence(
    apart: Sequence[str],
    found: Found,
    rows: Mapping[str, Mapping[str, Any]],
    heldout: Mapping[str, Any],
    options: TuneOptions,
    tasks: str,
    log: TrialLog,
    machine: Mapping[str, Any],
    simulated: Sequence[str],
) -> tuple[str, ...]:
    best, mine, plain = rows[found.chosen.name], heldout["chosen"], heldout["default"]
    low, high = best["success_ci"]
    said = [
        f"Chosen by voicefleet tune: {found.chosen.name}: {found.choice.why}.",
        f"Rule, fixed beforehand: {options.rule.text}",
        f"{len(log.records)} calls, tasks {tasks}, {options.at_once} at a time, seed {options.seed},"
        f" {len(found.settings)} settings, on {machine['cores']} cores ({machine['cpu']}).",
        f"Tuning part: success {_share(best['success'])} (95 %: {_share(low)} to {_share(high)},"
        f" {best['counts']['calls']} calls),"
        f" TTFA p50 {_s(best['ttfa_p50_s'])}, p95 {_s(best['ttfa_p95_s'])}.",
        f"Held-out part, {heldout['tasks']} task(s) each, chosen / livekit-agents' own turn taking, same models:"
        f" success {_share(mine['success'])} / {_share(plain['success'])},"
        f" TTFA p50 {_s(mine['ttfa_p50_s'])} / {_s(plain['ttfa_p50_s'])},"
        f" cut-ins {_share(mine['cut_in_ratio'])} / {_share(plain['cut_in_ratio'])}.",
    ]
    if len(apart) >= 3:
        said.append(
            f"Points of the front that differ by more than their intervals in success and TTFA p50: {', '.join(apart)}."
        )
    else:
        said.append(
            f"Only {len(apart)} of three wanted points of the front differ by more than their intervals in success and"
            " TTFA p50: give a longer budget, or harder tasks; the choice may be no better than its neighbours."
        )
    late = sum(rows[name]["counts"]["calls_without_times"] for name in found.finalists)
    if late:
        of = sum(rows[name]["counts"]["calls"] for name in found.finalists)
        said.append(
            f"{late} of {of} calls of the last settings gave no times: the machine was too busy for its callers. Give"
            " it for the sweep alone, or fewer --calls."
        )
    if simulated:
        said.append(f"SIMULATED, no model runs: {', '.join(simulated)}. Their latencies are declared, not measured.")
    return tuple(said)


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:.0f} %"


def _s(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f} s"
