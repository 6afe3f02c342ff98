"""`voicefleet chaos`: options in; verdict, JSON and exit code out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from voicefleet.chaos.options import ChaosOptions
from voicefleet.chaos.report import build_result, table
from voicefleet.chaos.run import run_scenarios
from voicefleet.chaos.scenarios import SCENARIOS
from voicefleet.chaos.session import Document, run_to_result
from voicefleet.reporting.table import figures_table, print_problems


def chaos(options: ChaosOptions, *, json_path: Path | None, console: Console | None = None) -> int:
    """Run the scenarios to their end.

    Returns:
        0 when every scenario was run, lost no call and met its bound; 1 otherwise; 130 after Ctrl-C, with every fault
        undone and every process ended; the scenarios done by then are written and shown.

    Raises:
        MissingPartError: livekit-server or Redis is not there.
    """
    done: list[dict[str, Any]] = []

    def result(facts: Document) -> Document | None:
        order = [scenario.id for scenario in options.scenarios]
        done.sort(key=lambda scenario: order.index(scenario["scenario"]))
        return build_result(done, options.seed_numbers, facts) if done else None

    return run_to_result(
        lambda clock, say: run_scenarios(options, clock, say, done), result, show, json_path, console or Console()
    )


def list_scenarios(console: Console | None = None) -> None:
    """Print the table of scenarios."""
    made = figures_table("voicefleet chaos: one fault per scenario", "scenario", ())
    made.add_column("what happens")
    made.add_column("needs")
    for scenario in SCENARIOS:
        made.add_row(scenario.id, scenario.what, ", ".join(scenario.needs))
    (console or Console()).print(made)


def show(result: Document, console: Console) -> None:
    """Print a result."""
    console.print(table(result))
    scenarios = result["scenarios"]
    print_problems(console, (f"{s['scenario']}: {problem}" for s in scenarios for problem in s["problems"]))
    good = sum(scenario["passed"] for scenario in scenarios)
    console.print(f"{good} of {len(scenarios)} scenarios good; {result['wall_s']} s")
