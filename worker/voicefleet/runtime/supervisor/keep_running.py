"""Keeps one process running for as long as it is awaited: starts another when it ends, after a wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NoReturn

from voicefleet.runtime.clock import Clock
from voicefleet.runtime.supervisor.restarts import Backoff, Ended, RestartPolicy


async def keep_running(
    run_once: Callable[[], Awaitable[Ended]],
    policy: RestartPolicy,
    clock: Clock,
    report: Callable[[Ended, float], None],
) -> NoReturn:
    """Call `run_once` again and again until this is cancelled.

    Args:
        run_once: starts the process and returns after its end.
        report: told of each end, and in how many seconds the next start is.
    """
    backoff = Backoff(policy)
    while True:
        ended = await run_once()
        now_s = clock.monotonic()
        backoff = backoff.after(ended, now_s)
        wait_s = backoff.wait_s(now_s)
        report(ended, wait_s)
        # Also when there is nothing to wait for: a loop that never yields could not be cancelled.
        await clock.sleep(wait_s)
