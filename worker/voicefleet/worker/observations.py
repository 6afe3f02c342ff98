"""The worker's metrics, fed by its own parts and by what the job processes send."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry

from voicefleet.contract import metrics as catalogue
from voicefleet.runtime.metrics import counter, gauge, histogram
from voicefleet.worker.admission import Answer
from voicefleet.worker.memory import Loss
from voicefleet.worker.silence import Reason

FAILURE_KINDS = ("timeout", "refused", "connection", "other")
_STAGES = ("stt", "llm", "tts")


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
        self.memory_lost = counter(catalogue.MEMORY_LOST, registry)
        self.resumed = counter(catalogue.RESUMED, registry)
        self.provider_failures = counter(catalogue.PROVIDER_FAILURES, registry)
        self.fallbacks = counter(catalogue.FALLBACKS, registry)
        self.apologies = counter(catalogue.APOLOGIES, registry)

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
            self.calls.labels(result if result in ("completed", "taken_over", "handed_over") else "error").inc()
        elif kind == "memory_lost":
            self.memory_lost.labels(_known(observation.get("reason"), tuple(Loss))).inc()
        elif kind == "resumed":
            self.resumed.labels(_known(observation.get("why"), ("recovered", "handed_over"))).inc()
        elif kind == "provider_failure":
            stage, how = observation.get("stage"), observation.get("how")
            self.provider_failures.labels(_known(stage, _STAGES), _known(how, FAILURE_KINDS)).inc()
        elif kind == "fallback":
            self.fallbacks.labels(_known(observation.get("stage"), _STAGES)).inc()
        elif kind == "apology":
            reason = observation.get("reason")
            self.apologies.labels(_known(reason, tuple(Reason))).inc()
            if reason in (Reason.UNHEARD, Reason.UNANSWERED):
                self.turns.labels("error").inc()  # No reply was spoken, so no turn is told of otherwise.
        elif kind not in ("hello", "call_started"):
            self.dropped.inc()


def _known(value: Any, known: tuple[str, ...]) -> str:
    return value if value in known else "other"
