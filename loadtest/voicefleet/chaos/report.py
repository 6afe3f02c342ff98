"""A chaos run's result as JSON and as a table. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from voicefleet.chaos.measure import Run, losses
from voicefleet.reporting.table import figures_table, shown


def not_run(scenario: str, reasons: Sequence[str]) -> dict[str, Any]:
    """The JSON of a scenario that this machine cannot run: nothing is known, which is not good."""
    counts = dict.fromkeys(("calls", "live", "waiting", "runs"), 0)
    unknown = dict.fromkeys(("silent", "cut", "voice_back_p50_s", "voice_back_p95_s", "double_speech", "hooks_lost"))
    sentences = [f"not run: {reason}" for reason in reasons]
    return {
        "scenario": scenario,
        **counts,
        **unknown,
        "not_run": True,
        "passed": False,
        "problems": sentences,
        "notes": "; ".join(sentences),
    }


def build_result(
    scenarios: Sequence[Mapping[str, Any]], seeds: Sequence[int], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """The JSON that ``--json`` writes; `facts`: ``{complete, wall_s, machine, versions}`` of the run."""
    return {
        "scenarios": [dict(scenario) for scenario in scenarios],
        "passed": facts["complete"] and bool(scenarios) and all(scenario["passed"] for scenario in scenarios),
        "seeds": list(seeds),
        **facts,
    }


_COLUMNS = {
    "calls": "calls",
    "silent": "silent",
    "cut": "cut",
    "double_speech": "double",
    "lost": "lost",
    "hooks_lost": "hooks lost",
    "voice_back_p95_s": "back p95",
    "answer_p95_s": "answer p95",
    "empty_p95_s": "empty p95",
}


def table(result: Mapping[str, Any]) -> Table:
    """Every scenario's figures, and whether they are good."""
    made = figures_table("voicefleet chaos (times in seconds)", "scenario", (*_COLUMNS.values(), ""))
    for scenario in result["scenarios"]:
        verdict = "good" if scenario["passed"] else "[bold red]" + ("not run" if scenario.get("not_run") else "bad")
        made.add_row(scenario["scenario"], *(shown(scenario.get(name), digits=1) for name in _COLUMNS), verdict)
    return made


def run_line(scenario: str, run: Run) -> str:
    """One finished run, in a line."""
    found = losses([run]).items()
    wrong = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found if count) or "all well"
    verdict = "void, the machine was too busy" if run.void else run.failed or wrong
    return f"{scenario} seed {run.seed}: {run.placed} calls, {verdict}"
