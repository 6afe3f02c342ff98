"""Reports this worker to the controller every second, and at once after a change; the answers are its orders."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from voicefleet.contract import codec
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.keys import Keys
from voicefleet.contract.reports import REPORT_EVERY_S, WorkerOrder, WorkerReport
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.connection import REDIS_FAILURES, RedisClient, Scripts

REPORT_TTL_MS = 3_600_000
"""A report is kept long after its worker went silent: its age says more than its absence."""

log = get_logger(__name__)


class Reporter:
    """Reports one worker through Redis. While Redis is down, failures are counted, logged once, and retried."""

    def __init__(
        self,
        redis: RedisClient,
        region: str,
        worker: str,
        *,
        report: Callable[[], WorkerReport],
        apply: Callable[[WorkerOrder], Awaitable[None]],
        failed: Callable[[], None],
    ) -> None:
        self._redis = redis
        self._scripts = Scripts(redis)
        self._keys = Keys(region)
        self._worker = worker
        self._report = report
        self._apply = apply
        self._failed = failed
        self._changed = asyncio.Event()
        self._unreachable = False

    def wake(self) -> None:
        """Report now, and wake the controllers."""
        self._changed.set()

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            try:
                async with asyncio.timeout(REPORT_EVERY_S):
                    await self._changed.wait()
            except TimeoutError:
                pass
            await self.report_once()

    async def report_once(self) -> None:
        """Send one report, and carry out the order in its answer."""
        urgent = self._changed.is_set()
        self._changed.clear()
        keys = self._keys
        try:
            answer = await self._scripts.run(
                "report",
                [keys.workers, keys.report(self._worker), keys.order(self._worker)],
                [self._worker, codec.dump(self._report()), REPORT_TTL_MS, keys.events, int(urgent)],
            )
            order = codec.load(WorkerOrder, answer) if answer else None
        except UnknownStateError as error:
            self._failed()
            if not self._unreachable:
                log.warning("worker report not stored, calls go on: Redis unreachable", error=str(error))
                self._unreachable = True
            return
        if self._unreachable:
            log.info("worker reports are stored again")
            self._unreachable = False
        if order is not None:
            await self._apply(order)

    async def delete_report(self) -> None:
        """Delete this worker's report: it has ended in good order."""
        keys = self._keys
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.zrem(keys.workers, self._worker)
                pipe.delete(keys.report(self._worker), keys.order(self._worker))
                pipe.publish(keys.events, self._worker)
                await pipe.execute()
        except REDIS_FAILURES as error:
            log.warning("worker report not deleted: Redis unreachable", error=type(error).__name__)
