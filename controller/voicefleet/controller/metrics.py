"""The controller's instruments."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from voicefleet.contract.metrics import controller as m
from voicefleet.runtime.metrics import counter, gauge, histogram, open_series


class Metrics:
    """One set of instruments in a registry of its own."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self.calls_waiting = gauge(m.CALLS_WAITING, r)
        self.calls_live = gauge(m.CALLS_LIVE, r)
        self.calls_silent = gauge(m.CALLS_SILENT, r)
        self.rooms_unknown = gauge(m.ROOMS_UNKNOWN, r)
        self.abandoned = counter(m.ABANDONED, r)
        self.call_wait = histogram(m.CALL_WAIT, r)
        self.dispatches = counter(m.DISPATCHES, r)
        self.recoveries = counter(m.RECOVERIES, r)
        self.detection = histogram(m.RECOVERY_DETECTION, r)
        self.probes = counter(m.PROBES, r)
        self.handoffs = counter(m.HANDOFFS, r)
        self.outage_dispatches = counter(m.OUTAGE_DISPATCHES, r)
        self.workers_killed = counter(m.WORKERS_KILLED, r)
        self.waiting_messages = counter(m.WAITING_MESSAGES, r)
        self.webhooks = counter(m.WEBHOOKS, r)
        self.auth_failures = counter(m.AUTH_FAILURES, r)
        self.joins_refused = counter(m.JOINS_REFUSED, r)
        self.api_requests = counter(m.API_REQUESTS, r)
        self.workers = gauge(m.WORKERS, r)
        self.instances = gauge(m.INSTANCES, r)
        self.startup = histogram(m.SCALER_STARTUP, r)
        self.leader = gauge(m.LEADER, r)
        self.desired = gauge(m.SCALER_DESIRED, r)
        self.current = gauge(m.SCALER_CURRENT, r)
        self.signal = gauge(m.SCALER_SIGNAL, r)
        self.wait_probability = gauge(m.SCALER_WAIT_PROBABILITY, r)
        self.drain = histogram(m.DRAIN, r)
        self.drain_oldest = gauge(m.DRAIN_OLDEST, r)
        self.min_workers = gauge(m.SCALER_MIN, r)
        self.max_workers = gauge(m.SCALER_MAX, r)
        self.decisions = counter(m.SCALER_DECISIONS, r)
        self.last_success = gauge(m.SCALER_LAST_SUCCESS, r)
        self.observe_failures = counter(m.OBSERVE_FAILURES, r)

    def open_region(self, region: str) -> None:
        """Have the region's counters there at zero."""
        for instrument, metric in (
            (self.call_wait, m.CALL_WAIT),
            (self.drain, m.DRAIN),
            (self.detection, m.RECOVERY_DETECTION),
            (self.startup, m.SCALER_STARTUP),
        ):
            open_series(instrument, metric, region=region)
        for counted, metric in (
            (self.abandoned, m.ABANDONED),
            (self.joins_refused, m.JOINS_REFUSED),
            (self.dispatches, m.DISPATCHES),
            (self.recoveries, m.RECOVERIES),
            (self.probes, m.PROBES),
            (self.handoffs, m.HANDOFFS),
            (self.outage_dispatches, m.OUTAGE_DISPATCHES),
            (self.workers_killed, m.WORKERS_KILLED),
            (self.waiting_messages, m.WAITING_MESSAGES),
        ):
            open_series(counted, metric, region=region)
