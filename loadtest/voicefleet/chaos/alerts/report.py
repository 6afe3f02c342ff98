"""The result of `voicefleet chaos --alerts` as JSON and as a table. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from voicefleet.reporting.table import figures_table, shown


def build_result(found: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON that ``--json`` writes; `facts`: ``{complete, wall_s, machine, versions}`` of the run."""
    return {
        "scenarios": [dict(scenario) for scenario in found],
        "passed": facts["complete"] and bool(found) and all(scenario["passed"] for scenario in found),
        **facts,
    }


def table(result: Mapping[str, Any]) -> Table:
    """Each fault: what came first, when, what else, what was false, and when all was quiet again."""
    made = figures_table("voicefleet chaos --alerts (times in seconds)", "fault", ("known", "false", "resolved", ""))
    made.add_column("alerts")
    for scenario in result["scenarios"]:
        alerts = "; ".join(_alert(entry) for entry in scenario["fired"]) or "none"
        made.add_row(
            scenario["scenario"],
            shown(scenario["known_after_s"], digits=0),
            str(len(scenario["false_critical"])),
            shown(scenario["resolved_after_s"], digits=0),
            "good" if scenario["passed"] else "void" if scenario["void"] else "[bold red]bad",
            alerts,
        )
    return made


def _alert(entry: Mapping[str, Any]) -> str:
    mark = " (inhibited)" if entry["muted"] else "" if entry["severity"] == "critical" else f" ({entry['severity']})"
    return f"{entry['alert']}{mark} {entry['after_s']:.0f}"
