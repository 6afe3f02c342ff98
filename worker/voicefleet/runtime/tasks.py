"""Ending tasks for sure."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

_AGAIN_S = 0.05
_PHASES = 7


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel `tasks` until each has ended.

    Once is not enough: redis-py sends through `asyncio.wait_for`, and before Python 3.12 that forgets a cancellation
    which comes in the moment the sending is done. A task in an endless loop would then never end.
    """
    pending = {task for task in tasks if not task.done()}
    attempt = 0
    while pending:
        # A timer wakes us in step with the task's own socket, in the very same moment each time: step aside.
        for _ in range(attempt % _PHASES):
            await asyncio.sleep(0)
        attempt += 1
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
