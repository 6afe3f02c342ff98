"""Metrics of the HTTP server that worker, controller and load generator have alike."""

from __future__ import annotations

from voicefleet.contract.metrics.kinds import Metric

HTTP_REFUSED = Metric(
    "voicefleet_http_refused",
    "counter",
    "Connections and requests given up, by why.",
    ("reason",),
    values={"reason": ("malformed", "too_large", "slow_head", "slow_body", "slow_reader", "too_many_connections")},
)
