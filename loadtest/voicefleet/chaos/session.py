"""Runs chaos or soak to its end or to Ctrl-C, and reports what was seen by then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from rich.console import Console

from voicefleet.chaos.prerequisites import versions
from voicefleet.reporting.result import exit_code, write_json
from voicefleet.runtime.clock import Clock, SystemClock
from voicefleet.stack.interrupt import Say, until_done_or_interrupted
from voicefleet.stack.machine import machine

Document = dict[str, Any]


def run_to_result(
    start: Callable[[Clock, Say], Coroutine[Any, Any, None]],
    result: Callable[[Document], Document | None],
    show: Callable[[Document, Console], None],
    json_path: Path | None,
    console: Console,
) -> int:
    """Run `start`; the result is written and shown however it ends.

    Args:
        result: makes the result of what was seen, given ``{complete, wall_s, machine, versions}``; None: nothing was.
        show: prints it.

    Returns:
        0 for a good result, 1 for a bad one; 130 after Ctrl-C.

    Raises:
        MissingPartError: livekit-server or Redis is not there.
    """
    # The callers' connections break on purpose: the SDK's warnings about them are expected.
    logging.getLogger("livekit").setLevel(logging.CRITICAL)
    ran, clock = versions(), SystemClock()
    began_s = clock.monotonic()
    complete, made = False, None
    try:
        complete = asyncio.run(until_done_or_interrupted(start, console, "calls and faults"))
    finally:
        wall_s = round(clock.monotonic() - began_s, 1)
        made = result({"complete": complete, "wall_s": wall_s, "machine": machine(), "versions": ran})
        if made is not None:
            write_json(json_path, made)
            show(made, console)
    if not complete:
        console.print("Interrupted; every fault is undone and every process has ended.")
    return exit_code(passed=made is not None and made["passed"], complete=complete)
