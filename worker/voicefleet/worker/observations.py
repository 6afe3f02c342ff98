"""The worker's metrics, fed by its own parts and by what the job processes send."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry

from voicefleet.contract import metrics as catalogue
from voicefleet.runtime.metrics import counter, gauge, histogram
from voicefleet.worker.admission import Answer


class WorkerMetrics:
    """All metric families of one worker. Label values come from closed sets; anything else is counted as other."""

    def __init__(self, registry: CollectorRegistry, tiers: frozenset[str]) -> None:
        self._tiers = tiers
        self.ttfa = histogram(catalogue.TURN_TTFA, registry)
        self.turns = counter(catalogue.TURNS, registry)
        self.calls = counter(catalogue.CALLS, registry)
        self.job_requests = counter(catalogue.JOB_REQUESTS, registry)
        self.active = gauge(catalogue.CALLS_ACTIVE, registry)
        self.slots = gauge(catalogue.SLOTS, registry)
        self.startup = histogram(catalogue.WORKER_STARTUP, registry)
        self.report_failures = counter(catalogue.REPORT_FAILURES, registry)
        self.dropped = counter(catalogue.OBSERVATIONS_DROPPED, registry)

    def answered(self, answer: Answer) -> None:
        self.job_requests.labels(answer.value).inc()

    def observed(self, observation: dict[str, Any]) -> None:
        """Take one line of a job process."""
        kind = observation.get("kind")
        tier = observation.get("tier")
        if kind == "turn":
            outcome = observation.get("outcome")
            self.turns.labels(outcome if outcome in ("completed", "interrupted") else "error").inc()
            ttfa = observation.get("ttfa_s")
            if isinstance(ttfa, int | float) and ttfa >= 0:
                self.ttfa.labels(tier if tier in self._tiers else "other").observe(ttfa)
        elif kind == "call_ended":
            result = observation.get("result")
            self.calls.labels(result if result in ("completed", "taken_over") else "error").inc()
        elif kind not in ("hello", "call_started"):
            self.dropped.inc()
