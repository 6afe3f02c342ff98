"""`voicefleet dev`: options in; what happens, line by line, and an exit code out."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from rich.console import Console

from voicefleet.dev.options import DevOptions
from voicefleet.dev.run import DevRun
from voicefleet.reporting.result import exit_code, write_json
from voicefleet.runtime.clock import SystemClock
from voicefleet.stack.interrupt import finished


def dev(options: DevOptions, *, json_path: Path | None, console: Console | None = None) -> int:
    """Run the fleet of one until Ctrl-C, or with `options.call` to the end of one call.

    Returns:
        0 when every call that was placed was good, else 1; 130 after Ctrl-C, with every process ended.

    Raises:
        UsageError: the agent does not load, or a part of the fleet does not start.
    """
    console = console or Console(soft_wrap=True)
    logging.getLogger("livekit").setLevel(logging.CRITICAL)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    run = DevRun(options, SystemClock(), say)
    complete = asyncio.run(finished(run.run()))
    write_json(json_path, {"calls": [{**outcome.to_json(), "faults": wrong} for outcome, wrong in run.outcomes]})
    if not complete:
        say("Every process has ended.")
    return exit_code(passed=not any(wrong for _, wrong in run.outcomes), complete=complete)
