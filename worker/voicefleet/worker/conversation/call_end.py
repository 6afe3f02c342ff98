"""Runs what a team wants done once per call: `on_call_end(summary)`, in the job that has the call last.

A job that hands its call over, or loses it, runs nothing. The right to run it is taken in Redis before it runs: a job
that dies in the middle of it is not followed by another that runs it again. So it runs at most once, and not at all
where the last job is killed at the very end or Redis is away; call events reach a team in any case.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from voicefleet.contract.call_events import CallSummary
from voicefleet.contract.errors import UnknownStateError
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.call_log_store import CallLogStore

HOOK_LIMIT_S = 5.0
READ_LIMIT_S = 2.0

Hook: TypeAlias = Callable[[CallSummary], Any]

log = get_logger(__name__)


async def run_call_end(
    hook: Hook, logs: CallLogStore, room: str, room_sid: str, *, written: Awaitable[Any], failed: Callable[[], None]
) -> None:
    """Run `hook` if it did not run for this call, in bounded time; whatever it does, the job's end goes on.

    Args:
        written: done when the job's own share of the call's log is in Redis.
        failed: told when the hook raised, or did not end in time.
    """
    try:
        async with asyncio.timeout(READ_LIMIT_S):
            await written
            if not await logs.first_to_end(room, room_sid):
                return
            summary = await logs.summary(room, room_sid, over=True)
    except (UnknownStateError, TimeoutError):
        log.warning("on_call_end not called: Redis did not say whether it was before")
        failed()
        return
    if summary is None:
        return
    try:
        async with asyncio.timeout(HOOK_LIMIT_S):
            made = hook(summary)
            if inspect.isawaitable(made):
                await made
    except TimeoutError:
        log.warning("on_call_end did not end in time, the job ends without it", limit_s=HOOK_LIMIT_S)
        failed()
    except Exception as error:
        log.warning("on_call_end failed", error=type(error).__name__)
        failed()
