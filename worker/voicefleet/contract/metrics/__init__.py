"""The catalogue of metrics: the one place where a metric's name, unit, labels and buckets are written.

Code, dashboards, alerts and documents read it. Labels never carry a room, call, participant or trace id: every label
has a small set of values, closed where the metric lists it and bounded by `MOST_VALUES` elsewhere. A worker's region
comes from its scrape target; the controller speaks for many regions and has it as a label of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType

from voicefleet.contract.metrics import callers, controller, exports, http, worker
from voicefleet.contract.metrics.kinds import MOST_VALUES, Metric

WORKER_SERIES_MOST = 1_500
"""Series that one worker pod may export, whatever its traffic; see the test, and `sampleLimit` in the chart."""


def _of(*modules: ModuleType) -> tuple[Metric, ...]:
    return tuple(value for module in modules for value in vars(module).values() if isinstance(value, Metric))


WORKER: tuple[Metric, ...] = _of(worker, exports, http)
CONTROLLER: tuple[Metric, ...] = _of(controller, exports, http)
CALLERS: tuple[Metric, ...] = _of(callers, http)
CATALOGUE: tuple[Metric, ...] = _of(worker, controller, callers, exports, http)

_BY_SAMPLE: Mapping[str, Metric] = {sample: metric for metric in CATALOGUE for sample in metric.samples}


def metric_of(sample: str) -> Metric | None:
    """The metric that a series of this name belongs to."""
    return _BY_SAMPLE.get(sample)


def most_series(metrics: Iterable[Metric]) -> int:
    """Series that one process with these metrics can have."""
    return sum(metric.most_series for metric in metrics)


def refusal(sample: str, labels: Mapping[str, str]) -> str:
    """Why the catalogue does not allow this series; empty when it does. `le` is for buckets alone."""
    metric = metric_of(sample)
    if metric is None:
        return f"{sample} is not in the catalogue"
    allowed = {*metric.labels, "le"} if sample.endswith("_bucket") else set(metric.labels)
    if set(labels) != allowed:
        return f"{sample} has the labels {sorted(labels)}, not {sorted(allowed)}"
    for label, values in metric.values.items():
        if labels[label] not in values:
            return f"{sample} has {label}={labels[label]!r}, not one of {', '.join(values)}"
    return ""


__all__ = [
    "CALLERS",
    "CATALOGUE",
    "CONTROLLER",
    "MOST_VALUES",
    "WORKER",
    "WORKER_SERIES_MOST",
    "Metric",
    "metric_of",
    "most_series",
    "refusal",
]
