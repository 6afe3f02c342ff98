"""The controller's instruments."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from voicefleet.contract import metrics as m
from voicefleet.runtime.metrics import counter, gauge, histogram


class Metrics:
    """One set of instruments in a registry of its own."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self.calls_waiting = gauge(m.CALLS_WAITING, r)
        self.calls_live = gauge(m.CALLS_LIVE, r)
        self.call_wait = histogram(m.CALL_WAIT, r)
        self.dispatches = counter(m.DISPATCHES, r)
        self.recoveries = counter(m.RECOVERIES, r)
        self.detection = histogram(m.RECOVERY_DETECTION, r)
        self.probes = counter(m.PROBES, r)
        self.handoffs = counter(m.HANDOFFS, r)
        self.blind_dispatches = counter(m.BLIND_DISPATCHES, r)
        self.workers_killed = counter(m.WORKERS_KILLED, r)
        self.hold_messages = counter(m.HOLD_MESSAGES, r)
        self.webhooks = counter(m.WEBHOOKS, r)
        self.api_requests = counter(m.API_REQUESTS, r)
        self.workers = gauge(m.WORKERS, r)
        self.desired = gauge(m.SCALER_DESIRED, r)
        self.min_workers = gauge(m.SCALER_MIN, r)
        self.max_workers = gauge(m.SCALER_MAX, r)
        self.decisions = counter(m.SCALER_DECISIONS, r)
        self.last_success = gauge(m.SCALER_LAST_SUCCESS, r)
        self.observe_failures = counter(m.OBSERVE_FAILURES, r)
