"""Stand-ins for controllers that cannot be had: each looks at the cluster again and again, beside what a test does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from voicefleet.runtime.tasks import cancel_and_wait


@contextlib.asynccontextmanager
async def beside(playing: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a stand-in for the block. When it fails, that is told: what fails in the block fails for it."""
    task = asyncio.create_task(playing)
    try:
        yield
    except BaseException as error:
        if task.done() and not task.cancelled():
            error.add_note(f"The stand-in ended before: {task.exception()!r}")
        raise
    finally:
        await cancel_and_wait([task])
    if task.done() and not task.cancelled():
        task.result()
