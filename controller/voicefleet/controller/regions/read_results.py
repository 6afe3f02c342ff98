"""Which reads and writes of one region fail now, since when, and because of whom."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from voicefleet.contract.errors import Dependency
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.controller.metrics import Metrics
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.setup import get_logger

FORGOTTEN_AFTER_S = 10.0

STEADY: Mapping[str, str] = {
    "queue": Dependency.REDIS,
    "reports": Dependency.REDIS,
    "listing": Dependency.LIVEKIT,
    "instances": Dependency.KUBERNETES,
}
"""Sources that are read all the time, so that their last result holds, and whose answer they are. Others are read when
there is a reason: a failure of theirs says nothing of now after a while, or once its dependency is back."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FailedRead:
    """A source whose last read failed. Times are of the region's monotonic clock."""

    text: str
    """Why."""
    dependency: str
    """Who did not answer, a `contract.errors.Dependency`; empty: nobody in particular."""
    since_s: float
    """When it failed first, of the failures in a row."""
    last_s: float
    """When it failed last."""


class ReadResults:
    """Why the last read of a source failed. Only writer: of each source, the one module that reads it."""

    def __init__(self, region: str, metrics: Metrics, clock: Clock) -> None:
        self._region = region
        self._metrics = metrics
        self._clock = clock
        self._failed: dict[str, FailedRead] = {}
        self._back_s: dict[str, float] = {}
        """Dependency -> when a steady read of it succeeded again."""

    def failed(self, source: str, error: Exception) -> None:
        """A read failed. It is logged once, until it succeeds again."""
        self._metrics.counters[catalogue.OBSERVE_FAILURES].labels(self._region, source).inc()
        before = self._failed.get(source)
        if before is None:
            log.warning("state unknown, keeping what there is", region=self._region, source=source, error=str(error))
        now_s = self._clock.monotonic()
        self._failed[source] = FailedRead(
            text=str(error),
            dependency=getattr(error, "dependency", ""),
            since_s=now_s if before is None else before.since_s,
            last_s=now_s,
        )

    def succeeded(self, source: str) -> None:
        """A read that may have failed before succeeded."""
        if self._failed.pop(source, None) is not None:
            if source in STEADY:
                self._back_s[STEADY[source]] = self._clock.monotonic()
            log.info("state known again", region=self._region, source=source)

    @property
    def troubles(self) -> Mapping[str, str]:
        """Source -> why its last read failed, however long ago that was."""
        return {source: read.text for source, read in self._failed.items()}

    def failing(self) -> Mapping[str, FailedRead]:
        """Source -> its failure, of those that fail now: what is read only now and then is left out after a while, and
        when its dependency has come back since."""
        forgotten_s = self._clock.monotonic() - FORGOTTEN_AFTER_S
        return {
            source: read
            for source, read in self._failed.items()
            if source in STEADY or read.last_s > max(forgotten_s, self._back_s.get(read.dependency, -math.inf))
        }
