"""Metrics of the traces' way out; worker and controller have them alike."""

from __future__ import annotations

from voicefleet.contract.metrics.kinds import Metric

SPANS = Metric(
    "voicefleet_spans",
    "counter",
    "Spans of traces, by what became of them.",
    ("result",),
    values={"result": ("sent", "failed", "dropped")},
)
