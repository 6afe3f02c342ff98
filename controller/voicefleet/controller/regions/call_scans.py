"""The calls of one region, as the last scan of Redis showed them."""

from __future__ import annotations

import asyncio
import math

from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.controller.calls.snapshots import Snapshot
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.ports import CallStorePort
from voicefleet.controller.regions.outages import Outages
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.setup import get_logger

log = get_logger(__name__)


class CallScans:
    """Scans the calls, and remembers them and whether Redis answered. Only writer: `regions.call_scans`, by `scan`."""

    def __init__(self, region: str, calls: CallStorePort, redis: Outages, clock: Clock, metrics: Metrics) -> None:
        self._region = region
        self._calls = calls
        self._redis = redis
        self._clock = clock
        self._metrics = metrics
        self._snapshot: Snapshot | None = None
        self._at_s = -math.inf
        self._failures = 0
        self._server = ""
        self._done = asyncio.Event()

    @property
    def snapshot(self) -> Snapshot | None:
        """The last one, however old. None before the first."""
        return self._snapshot

    @property
    def age_s(self) -> float:
        """Of `snapshot`; infinite before the first."""
        return self._clock.monotonic() - self._at_s

    @property
    def failures(self) -> int:
        """How many scans have failed: what was known of Redis before the last of them may not hold any more."""
        return self._failures

    async def scan(self) -> Snapshot:
        """Bring the queue up to date, and remember it. Raises `UnknownStateError`.

        Every scan goes through here, because the waits that it saw end are told only once.
        """
        began_s = self._clock.monotonic()
        try:
            snapshot = await self._calls.scan()
        except UnknownStateError:
            self._redis.away(began_s, self._clock.monotonic())
            self._failures += 1
            raise
        self._metrics.counters[catalogue.ABANDONED].labels(self._region).inc(snapshot.abandoned)
        self._snapshot, self._at_s = snapshot, self._clock.monotonic()
        self._redis.well(self._at_s)
        self._note_server(snapshot.server)
        self._done.set()
        self._done = asyncio.Event()
        for wait_s in snapshot.served_after_s:
            self._metrics.histograms[catalogue.CALL_WAIT].labels(self._region).observe(wait_s)
        return snapshot

    def _note_server(self, server: str) -> None:
        if server and server != self._server:
            if self._server:
                log.warning("Redis restarted or failed over, waiting for its claims to settle", region=self._region)
                self._redis.restarted(self._at_s)
            self._server = server

    async def next(self) -> None:
        """Wait until somebody has scanned."""
        await self._done.wait()

    def within(self, age_s: float) -> Snapshot | None:
        """The last snapshot if it is no older, else None."""
        return self._snapshot if self.age_s <= age_s else None

    def now_ms(self, snapshot: Snapshot) -> int:
        """Redis's clock now, reckoned from the last scan."""
        return snapshot.now_ms + round(self.age_s * 1000)
