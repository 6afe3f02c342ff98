"""What a metric is, and the labels there may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Unit = Literal["", "seconds", "ratio"]
"""Base units; empty for a count and for a score."""

MOST_VALUES: Mapping[str, int] = {
    "region": 16,
    "pool": 16,
    "agent": 1,
    "worker": 1,
    "tier": 8,
    "version": 2,
    "provider": 8,
    "route": 16,
    "status": 16,
    "signal": 16,
    "source": 12,
    "reason": 16,
    "receiver": 4,
    "currency": 4,
}
"""The labels whose values the catalogue cannot list, because settings or code elsewhere name them: how many there may
be in one process. Every other label lists its values where the metric is."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family. `name` has no ``_total`` suffix: the exposition adds it to counters.

    Args:
        unit: the name ends with it.
        labels: in the order the code gives them; nothing else may be a label.
        values: the closed set of values of a label; labels of `MOST_VALUES` need none.
        exemplars: its buckets may carry the id of a trace.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    unit: Unit = ""
    exemplars: bool = False

    @property
    def samples(self) -> tuple[str, ...]:
        """The names its series have in Prometheus."""
        if self.kind == "counter":
            return (f"{self.name}_total",)
        if self.kind == "histogram":
            return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")
        return (self.name,)

    @property
    def most_series(self) -> int:
        """Series that one process can have of it."""
        each = len(self.buckets) + 3 if self.kind == "histogram" else 1
        for label in self.labels:
            each *= len(self.values[label]) if label in self.values else MOST_VALUES[label]
        return each


LATENCY_S = (0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
WAIT_S = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0)
STARTUP_S = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 120.0)
STAGE_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.5, 3.0, 5.0)
STOP_S = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)
MOS = (1.0, 2.58, 3.1, 3.6, 4.03, 4.34, 4.5)
"""The edges of G.107's classes of user satisfaction."""
LOSS_RATIO = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
JITTER_S = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
RTT_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
DRAIN_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
