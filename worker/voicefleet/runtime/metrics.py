"""Prometheus instruments built from the catalogue; a metric outside the catalogue cannot be made here."""

from __future__ import annotations

import itertools
from types import ModuleType
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from voicefleet.contract.metrics import Metric

# Otherwise every counter and histogram has a second series, of when it began, that nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

Instrument = TypeVar("Instrument", Counter, Gauge, Histogram)


def counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    assert metric.kind == "counter", metric.name
    return _opened(Counter(metric.name, metric.help, metric.labels, registry=registry), metric)


def gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    assert metric.kind == "gauge", metric.name
    return Gauge(metric.name, metric.help, metric.labels, registry=registry)


def histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    assert metric.kind == "histogram", metric.name
    made = Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=metric.buckets)
    return _opened(made, metric)


def open_series(instrument: Instrument, metric: Metric, **known: str) -> Instrument:
    """Have every series there at zero whose labels are `known` or listed in the catalogue; nothing when one is
    neither. A series that appears with its first event hides that event from `rate`."""
    choices = []
    for label in metric.labels:
        values = (known[label],) if label in known else metric.values.get(label)
        if values is None:
            return instrument
        choices.append(values)
    for values in itertools.product(*choices):
        instrument.labels(*values)
    return instrument


def _opened(instrument: Instrument, metric: Metric) -> Instrument:
    return open_series(instrument, metric) if metric.labels else instrument


class Instruments:
    """An instrument for every metric of one module of the catalogue: what the catalogue names is exported."""

    def __init__(self, module: ModuleType, registry: CollectorRegistry) -> None:
        self.registry = registry
        metrics = [metric for metric in vars(module).values() if isinstance(metric, Metric)]
        self.counters = {m: counter(m, registry) for m in metrics if m.kind == "counter"}
        self.gauges = {m: gauge(m, registry) for m in metrics if m.kind == "gauge"}
        self.histograms = {m: histogram(m, registry) for m in metrics if m.kind == "histogram"}
