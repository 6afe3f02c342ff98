"""Long work that Ctrl-C ends in good order, with its progress printed line by line."""

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


async def finished(work: Coroutine[Any, Any, None]) -> bool:
    """Run `work`; Ctrl-C and SIGTERM cancel it, and it cleans up. Whether it ended by itself."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
        return True
    return False


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
        return await finished(start(clock, say))
