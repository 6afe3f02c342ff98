"""The result of a run: JSON, a table with a row for each agent, and what was wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from examples.ordeal import Trial
from voicefleet.reporting.table import figures_table, print_problems, shown

_COLUMNS = {
    "greeting_s": "greeting",
    "ttfa_s": "TTFA p50",
    "moved_s": "drain, moved",
    "moved_answer_s": "moved, answer",
    "killed_answer_s": "kill -9, answer",
    "longest_s": "longest wait",
    "freed_s": "end, freed",
}


def build_result(trials: Sequence[Trial], wanted: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON. `facts`: ``{complete, wall_s, machine, versions}`` of the run; `wanted`: agents that were to be run."""
    rows = [{**asdict(trial), "problems": list(trial.problems), "passed": trial.passed} for trial in trials]
    return {
        "agents": rows,
        "passed": facts["complete"] and len(rows) == wanted and all(row["passed"] for row in rows),
        **facts,
    }


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print a result."""
    table = figures_table("agents as they are, each in one call: seconds", "agent", [*_COLUMNS.values(), "answers", ""])
    for row in result["agents"]:
        figures = [shown(row[name], "", 2 if name in ("ttfa_s", "greeting_s") else 1) for name in _COLUMNS]
        verdict = ("ok" if row["passed"] else "FAILED") + (" (busy)" if row["void"] else "")
        table.add_row(row["agent"], *figures, shown(row["answers"]), verdict)
    console.print(table)
    print_problems(console, (f"{row['agent']}: {problem}" for row in result["agents"] for problem in row["problems"]))
    good = sum(row["passed"] for row in result["agents"])
    console.print(f"{good} of {len(result['agents'])} agents good; {result['wall_s']} s")
