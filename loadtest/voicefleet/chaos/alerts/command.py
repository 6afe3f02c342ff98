"""`voicefleet chaos --alerts`: options in; verdict, JSON and exit code out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from voicefleet.chaos.alerts.report import build_result, table
from voicefleet.chaos.alerts.run import run_alerts
from voicefleet.chaos.alerts.scenarios import SCENARIOS, chosen
from voicefleet.chaos.session import Document, run_to_result
from voicefleet.reporting.table import figures_table, print_problems
from voicefleet.stack.find import find_alertmanager, find_prometheus


def alerts(
    only: Sequence[str], *, quick: bool, logs: Path | None, json_path: Path | None, console: Console | None = None
) -> int:
    """Play the faults.

    Returns:
        0 when each set off the right alerts in time, and no others; 1 otherwise; 130 after Ctrl-C.

    Raises:
        MissingPartError: Prometheus, Alertmanager, livekit-server or Redis is not there.
        ConfigError: a name in `only` that no fault has.
    """
    stands = chosen(only, quick=quick)
    find_prometheus()
    find_alertmanager()
    done: list[dict[str, Any]] = []
    return run_to_result(
        lambda clock, say: run_alerts(stands, clock, say, done, keep_logs=logs),
        lambda facts: build_result(done, facts) if done else None,
        _show,
        json_path,
        console or Console(),
    )


def list_faults(console: Console | None = None) -> None:
    """Print the table of faults, and the alert that must come first."""
    made = figures_table("voicefleet chaos --alerts: what each fault must set off", "fault", ())
    for header in ("what happens", "first alert", "within"):
        made.add_column(header)
    for scenario in SCENARIOS:
        expected = scenario.expected
        within = f"{expected.within_s:.0f} s" if expected.first else "-"
        made.add_row(scenario.id, scenario.what, expected.first or "none", within)
    (console or Console()).print(made)


def _show(result: Document, console: Console) -> None:
    console.print(table(result))
    scenarios = result["scenarios"]
    print_problems(console, (f"{s['scenario']}: {problem}" for s in scenarios for problem in s["problems"]))
    good = sum(scenario["passed"] for scenario in scenarios)
    console.print(f"{good} of {len(scenarios)} faults good; {result['wall_s']} s")
