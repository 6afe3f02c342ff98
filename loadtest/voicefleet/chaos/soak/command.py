"""`voicefleet soak`: options in; verdict, JSON and exit code out."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from voicefleet.chaos.prerequisites import versions
from voicefleet.chaos.soak.plan import SoakOptions
from voicefleet.chaos.soak.run import Soak, run_soak
from voicefleet.runtime.clock import SystemClock
from voicefleet.stack.interrupt import until_done_or_interrupted
from voicefleet.stack.machine import machine


def soak(options: SoakOptions, *, json_path: Path | None, console: Console | None = None) -> int:
    """Soak until the time is over.

    Returns:
        0 when all counts add up and nothing grew; 1 otherwise; 130 after Ctrl-C, with every process ended; what was
        seen by then is written and shown.

    Raises:
        MissingPartError: livekit-server or Redis is not there.
    """
    console = console or Console()
    # The callers' connections break on purpose: what the SDK says of it is no news.
    logging.getLogger("livekit").setLevel(logging.CRITICAL)
    ran = versions()
    clock = SystemClock()
    began_s = clock.monotonic()
    seen = Soak()
    complete = False
    try:
        complete = asyncio.run(
            until_done_or_interrupted(
                lambda clock, say: run_soak(options, clock, say, seen), console, "calls and faults"
            )
        )
    finally:
        result = {
            **seen.result(),
            "complete": complete,
            "seed": options.seed,
            "wall_s": round(clock.monotonic() - began_s, 1),
            "machine": machine(),
            "versions": ran,
        }
        result["passed"] = result["passed"] and complete
        if seen.runs:
            _tell(result, json_path, console)
    if not complete:
        console.print("Interrupted; every fault is undone and every process has ended.")
        return 130
    return 0 if result["passed"] else 1


def _tell(result: dict[str, Any], json_path: Path | None, console: Console) -> None:
    if json_path is not None:
        json_path.write_text(json.dumps(result, indent=2) + "\n")
    for title in ("calls", "turns", "claims"):
        counts = result[title] or {}
        console.print(f"{title}: " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items()))
    if result["growth"]:
        made = Table(title="when idle: at the beginning, at the end", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for heading in ("what", "most before", "least after", "allowed more", "samples"):
            made.add_column(heading, justify="left" if heading == "what" else "right")
        for one in result["growth"]:
            figures = (one["before"], one["after"], one["allowance"])
            made.add_row(one["what"], *(f"{figure:g} {one['unit']}".strip() for figure in figures), str(one["samples"]))
        console.print(made)
    for sentence in result["problems"]:
        console.print(sentence, style="red", markup=False, highlight=False, soft_wrap=True)
    verdict = "good" if result["passed"] else "bad"
    console.print(f"{len(result['rounds'])} rounds, {result['wall_s']} s, seed {result['seed']}: {verdict}")
