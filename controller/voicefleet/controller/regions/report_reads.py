"""The reports of one region's workers, as they were last read from Redis."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping

from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.reports import STALE_AFTER_S
from voicefleet.controller.pool.worker_store import Reported, WorkerStore
from voicefleet.runtime.clock import Clock


class ReportReads:
    """Reads the reports, and remembers them. Only writer: `regions.report_reads`, by `read`."""

    def __init__(self, workers: WorkerStore, clock: Clock) -> None:
        self._workers = workers
        self._clock = clock
        self._reports: dict[str, Reported] = {}
        self._began_s: float | None = None
        """When the last read of them began."""
        self._old = False
        """A worker said since then that something changed."""
        self._hanging = False
        self._reading = asyncio.Lock()

    @property
    def last(self) -> Mapping[str, Reported]:
        """Those read last, however old."""
        return self._reports

    @property
    def age_s(self) -> float:
        """Of `last`; infinite before the first read."""
        return math.inf if self._began_s is None else self._clock.monotonic() - self._began_s

    @property
    def old(self) -> bool:
        """Whether something changed since they were read."""
        return self._old

    @property
    def hanging(self) -> bool:
        """Whether a worker hung when they were last read."""
        return self._hanging

    def note_change(self) -> None:
        """Something changed: the next reader gets none of those known."""
        self._old = True

    async def read(self, max_age_s: float = 0.0) -> dict[str, Reported]:
        """Read them, and remember them. Raises `UnknownStateError`.

        Args:
            max_age_s: those read less than so long ago will do, unless a worker said since that something changed.
        """
        oldest_s = self._clock.monotonic() - max_age_s
        async with self._reading:
            if self._began_s is None or self._began_s < oldest_s or self._old:
                began_s, self._old = self._clock.monotonic(), False
                try:
                    self._reports = await self._workers.read()
                except UnknownStateError:
                    self._old = True
                    raise
                self._began_s = began_s
                self._hanging = any(r.hanging for r in self._reports.values())
            return self._reports

    def fresh(self) -> dict[str, Reported] | None:
        """Those read lately; else None."""
        known = self._began_s is not None and self._clock.monotonic() - self._began_s <= STALE_AFTER_S
        return self._reports if known else None

    @property
    def tiers(self) -> frozenset[str] | None:
        """Names of the tiers that a call may ask for; None while nobody tells, or one does not."""
        reports = [r.report for r in (self.fresh() or {}).values()]
        told = [report.tiers for report in reports if report.tiers is not None]
        return frozenset(name for tiers in told for name in tiers) if told and len(told) == len(reports) else None

    @property
    def silent(self) -> int | None:
        """Calls whose caller has waited for a voice for more than 10 s; None while nobody knows."""
        reports = self.fresh()
        return None if reports is None else sum(r.report.silent for r in reports.values() if r.fresh)
