"""Long work that Ctrl-C ends in good order, told line by line."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from rich.console import Console

from voicefleet.runtime.clock import Clock, SystemClock

Say = Callable[[str], None]
"""Takes a line for whoever watches."""


async def until_done_or_interrupted(
    start: Callable[[Clock, Say], Coroutine[Any, Any, None]], console: Console, status: str
) -> bool:
    """Run what `start` makes under the words `status`, saying what it says; whether it ended before Ctrl-C."""
    clock = SystemClock()
    began_s = clock.monotonic()

    def say(line: str) -> None:
        text = f"{clock.monotonic() - began_s:7.1f} s  {line}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    with console.status(status):
        work = asyncio.ensure_future(start(clock, say))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, work.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await work
            return True
    return False
