"""Background tasks: reliable cancellation, and one running task per key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterable
from typing import Any, Generic, TypeVar

_AGAIN_S = 0.05
_PHASES = 7

K = TypeVar("K", bound=Hashable)


async def cancel_and_wait(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel `tasks`, again and again until each has ended.

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


class KeyedTasks(Generic[K]):
    """Runs work in background tasks, at most one per key.

    Args:
        failed: called with the key and the error of work that raised.
    """

    def __init__(self, failed: Callable[[K, BaseException], None]) -> None:
        self._failed = failed
        self._tasks: dict[K, asyncio.Task[None]] = {}

    def start(self, key: K, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start `work`, unless work of `key` is still running."""
        if key not in self._tasks:
            task = self._tasks[key] = asyncio.create_task(work())
            task.add_done_callback(lambda done: self._done(key, done))

    async def cancel_and_wait(self) -> None:
        """Cancel what is running and wait for its end."""
        await cancel_and_wait(self._tasks.values())

    def _done(self, key: K, task: asyncio.Task[None]) -> None:
        del self._tasks[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(key, error)
