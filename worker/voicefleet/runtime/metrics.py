"""Prometheus instruments built from the catalogue; a metric outside the catalogue cannot be made here."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from voicefleet.contract.metrics import Metric


def counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    assert metric.kind == "counter", metric.name
    return Counter(metric.name, metric.help, metric.labels, registry=registry)


def gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    assert metric.kind == "gauge", metric.name
    return Gauge(metric.name, metric.help, metric.labels, registry=registry)


def histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    assert metric.kind == "histogram", metric.name
    return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=metric.buckets)
