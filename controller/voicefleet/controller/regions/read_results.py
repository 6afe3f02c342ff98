"""Which reads and writes of one region fail now, and why."""

from __future__ import annotations

from collections.abc import Mapping

from voicefleet.contract.metrics import controller as catalogue
from voicefleet.controller.metrics import Metrics
from voicefleet.runtime.logs.setup import get_logger

log = get_logger(__name__)


class ReadResults:
    """Why the last read of a source failed. Only writer: of each source, the one module that reads it."""

    def __init__(self, region: str, metrics: Metrics) -> None:
        self._region = region
        self._metrics = metrics
        self._troubles: dict[str, str] = {}

    def failed(self, source: str, error: Exception) -> None:
        """A read failed. It is logged once, until it succeeds again."""
        self._metrics.counters[catalogue.OBSERVE_FAILURES].labels(self._region, source).inc()
        if source not in self._troubles:
            log.warning("state unknown, keeping what there is", region=self._region, source=source, error=str(error))
        self._troubles[source] = str(error)

    def succeeded(self, source: str) -> None:
        """A read that may have failed before succeeded."""
        if self._troubles.pop(source, None) is not None:
            log.info("state known again", region=self._region, source=source)

    @property
    def troubles(self) -> Mapping[str, str]:
        """Source -> why its last read failed."""
        return self._troubles
