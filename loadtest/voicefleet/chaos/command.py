"""`voicefleet chaos`: options in; verdict, JSON and exit code out."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from voicefleet.chaos.options import ChaosOptions
from voicefleet.chaos.prerequisites import versions
from voicefleet.chaos.report import build_result, table
from voicefleet.chaos.run import run_scenarios
from voicefleet.chaos.scenarios import SCENARIOS
from voicefleet.runtime.clock import SystemClock
from voicefleet.stack.interrupt import until_done_or_interrupted
from voicefleet.stack.machine import machine


def chaos(options: ChaosOptions, *, json_path: Path | None, console: Console | None = None) -> int:
    """Run the scenarios to their end.

    Returns:
        0 when every scenario was run, lost no call and met its bound; 1 otherwise; 130 after Ctrl-C, with every fault
        undone and every process ended; the scenarios done by then are written and shown.

    Raises:
        MissingPartError: livekit-server or Redis is not there.
    """
    console = console or Console()
    # The callers' connections break on purpose: what the SDK says of it is no news.
    logging.getLogger("livekit").setLevel(logging.CRITICAL)
    ran = versions()
    clock = SystemClock()
    began_s = clock.monotonic()
    scenarios: list[dict[str, Any]] = []
    complete = False
    try:
        complete = asyncio.run(
            until_done_or_interrupted(
                lambda clock, say: run_scenarios(options, clock, say, scenarios), console, "calls and faults"
            )
        )
    finally:
        order = [scenario.id for scenario in options.scenarios]
        scenarios.sort(key=lambda scenario: order.index(scenario["scenario"]))
        result = build_result(
            scenarios,
            machine=machine(),
            versions=ran,
            seeds=options.seed_numbers,
            wall_s=clock.monotonic() - began_s,
            complete=complete,
        )
        if scenarios:
            _tell(result, json_path, console)
    if not complete:
        console.print("Interrupted; every fault is undone and every process has ended.")
        return 130
    return 0 if result["passed"] else 1


def list_scenarios(console: Console | None = None) -> None:
    """Print the table of scenarios."""
    made = Table(title="voicefleet chaos: one fault per scenario")
    for title in ("scenario", "what happens", "needs"):
        made.add_column(title)
    for scenario in SCENARIOS:
        made.add_row(scenario.id, scenario.what, ", ".join(scenario.needs))
    (console or Console()).print(made)


def _tell(result: dict[str, Any], json_path: Path | None, console: Console) -> None:
    if json_path is not None:
        json_path.write_text(json.dumps(result, indent=2) + "\n")
    console.print(table(result))
    for scenario in result["scenarios"]:
        for sentence in scenario["problems"]:
            console.print(
                f"{scenario['scenario']}: {sentence}", style="red", markup=False, highlight=False, soft_wrap=True
            )
    good = sum(scenario["passed"] for scenario in result["scenarios"])
    console.print(f"{good} of {len(result['scenarios'])} scenarios good; {result['wall_s']} s")
