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
from voicefleet.chaos.report import build_result, table
from voicefleet.chaos.run import run_rows
from voicefleet.chaos.scenarios import ROWS
from voicefleet.chaos.surroundings import versions
from voicefleet.runtime.clock import SystemClock
from voicefleet.stack.interrupt import until_done_or_interrupted
from voicefleet.stack.machine import machine


def chaos(options: ChaosOptions, *, json_path: Path | None, console: Console | None = None) -> int:
    """Run the rows to their end.

    Returns:
        0 when every row was run, lost no call and met its bound; 1 otherwise; 130 after Ctrl-C, with every fault
        undone and every process ended; the rows done by then are written and shown.

    Raises:
        MissingPartError: livekit-server or Redis is not there.
    """
    console = console or Console()
    # The callers' connections break on purpose: what the SDK says of it is no news.
    logging.getLogger("livekit").setLevel(logging.CRITICAL)
    ran = versions()
    clock = SystemClock()
    began_s = clock.monotonic()
    rows: list[dict[str, Any]] = []
    complete = False
    try:
        complete = asyncio.run(
            until_done_or_interrupted(
                lambda clock, say: run_rows(options, clock, say, rows), console, "calls and faults"
            )
        )
    finally:
        order = [row.id for row in options.rows]
        rows.sort(key=lambda row: order.index(row["fault"]))
        result = build_result(
            rows,
            machine=machine(),
            versions=ran,
            seeds=options.seed_numbers,
            wall_s=clock.monotonic() - began_s,
            complete=complete,
        )
        if rows:
            _tell(result, json_path, console)
    if not complete:
        console.print("Interrupted; every fault is undone and every process has ended.")
        return 130
    return 0 if result["passed"] else 1


def list_rows(console: Console | None = None) -> None:
    """Print the table of rows."""
    made = Table(title="voicefleet chaos: one fault per row")
    for title in ("row", "what happens", "needs"):
        made.add_column(title)
    for row in ROWS:
        made.add_row(row.id, row.what, ", ".join(row.needs))
    (console or Console()).print(made)


def _tell(result: dict[str, Any], json_path: Path | None, console: Console) -> None:
    if json_path is not None:
        json_path.write_text(json.dumps(result, indent=2) + "\n")
    console.print(table(result))
    for row in result["rows"]:
        for sentence in row["problems"]:
            console.print(f"{row['fault']}: {sentence}", style="red", markup=False, highlight=False, soft_wrap=True)
    good = sum(row["passed"] for row in result["rows"])
    console.print(f"{good} of {len(result['rows'])} rows good; {result['wall_s']} s")
