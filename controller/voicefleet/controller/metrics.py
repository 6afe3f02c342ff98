"""The controller's instruments: one for each metric of its catalogue."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from voicefleet.contract.metrics import controller as catalogue
from voicefleet.runtime.metrics import Instruments, open_series


class Metrics(Instruments):
    """One set of instruments in a registry of its own."""

    def __init__(self) -> None:
        super().__init__(catalogue, CollectorRegistry())

    def open_region(self, region: str) -> None:
        """Have the region's counters and histograms there at zero, where the catalogue lists their other labels."""
        for counted, counter in self.counters.items():
            if "region" in counted.labels:
                open_series(counter, counted, region=region)
        for timed, histogram in self.histograms.items():
            if "region" in timed.labels:
                open_series(histogram, timed, region=region)
