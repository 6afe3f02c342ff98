"""The worker's metrics, fed by its own parts and by what the job processes send.

A label's value comes from the catalogue's closed set, whatever a job says; anything else is counted as other.
"""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from prometheus_client import CollectorRegistry, Counter, Histogram

from voicefleet.contract.metrics import MOST_VALUES, Metric
from voicefleet.contract.metrics import worker as catalogue
from voicefleet.contract.spans import SpanRecord
from voicefleet.runtime.metrics import counter, gauge, histogram, open_series
from voicefleet.worker.server.admission import Answer

_DIRECTIONS = ("inbound", "outbound")
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9._-]+")
_LONGEST_NAME = 40


class WorkerMetrics:
    """All metric families of one worker.

    Args:
        tiers: the names of the tiers there are.
        agent: the name that dispatches ask for.
    """

    def __init__(self, registry: CollectorRegistry, tiers: frozenset[str], agent: str = "voicefleet") -> None:
        self._tiers = frozenset(sorted(tiers)[: MOST_VALUES["tier"] - 1])
        self._agent = agent
        self._providers: set[str] = set()
        self._silent: set[int] = set()
        self.ttfa_counts = [0] * (len(catalogue.TURN_TTFA.buckets) + 1)
        """Turns by TTFA: what the controller's own page is drawn from."""
        self.emit: Callable[[SpanRecord], None] = lambda _: None
        """Takes the jobs' spans."""
        self.ttfa = histogram(catalogue.TURN_TTFA, registry)
        self.turns = counter(catalogue.TURNS, registry)
        self.stages = histogram(catalogue.TURN_STAGE, registry)
        self.interruptions = counter(catalogue.INTERRUPTIONS, registry)
        self.barge_in_stop = histogram(catalogue.BARGE_IN_STOP, registry)
        self.calls = counter(catalogue.CALLS, registry)
        self.setup = histogram(catalogue.CALL_SETUP, registry)
        self.greeting = histogram(catalogue.GREETING, registry)
        self.silences = counter(catalogue.SILENCES, registry)
        self.silent = gauge(catalogue.CALLS_SILENT, registry)
        self.loss = histogram(catalogue.PACKET_LOSS, registry)
        self.jitter = histogram(catalogue.JITTER, registry)
        self.rtt = histogram(catalogue.RTT, registry)
        self.mos = histogram(catalogue.MOS, registry)
        self.samples = counter(catalogue.SAMPLES, registry)
        self.concealed = counter(catalogue.CONCEALED, registry)
        self.job_requests = counter(catalogue.JOB_REQUESTS, registry)
        self.active = gauge(catalogue.CALLS_ACTIVE, registry)
        self.slots = gauge(catalogue.SLOTS, registry)
        self.startup = histogram(catalogue.WORKER_STARTUP, registry)
        self.report_failures = counter(catalogue.REPORT_FAILURES, registry)
        self.dropped = counter(catalogue.OBSERVATIONS_DROPPED, registry)
        self.transcript_lost = counter(catalogue.TRANSCRIPT_LOST, registry)
        self.resumed = counter(catalogue.RESUMED, registry)
        self.provider_failures = counter(catalogue.PROVIDER_FAILURES, registry)
        self.fallbacks = counter(catalogue.FALLBACKS, registry)
        self.apologies = counter(catalogue.APOLOGIES, registry)
        for tier in self._tiers:
            open_series(self.ttfa, catalogue.TURN_TTFA, agent=agent, tier=tier)
        self._takers: Mapping[str, Callable[[int, dict[str, Any]], None]] = {
            "hello": lambda *_: None,
            "call_started": lambda *_: None,
            "turn": self._turn,
            "overlap": self._overlap,
            "setup": lambda _, seen: self._timed(self.setup, catalogue.CALL_SETUP, seen, "setup_s"),
            "greeting": lambda _, seen: self._timed(self.greeting, catalogue.GREETING, seen, "greeting_s"),
            "silent": self._silence,
            "line": self._line,
            "span": self._span,
            "call_ended": lambda _, seen: _count(self.calls, catalogue.CALLS, seen.get("result"), other="error"),
            "transcript_lost": lambda _, seen: _count(
                self.transcript_lost, catalogue.TRANSCRIPT_LOST, seen.get("reason")
            ),
            "resumed": lambda _, seen: _count(self.resumed, catalogue.RESUMED, seen.get("why")),
            "provider_failure": lambda _, seen: _count(
                self.provider_failures, catalogue.PROVIDER_FAILURES, seen.get("stage"), seen.get("how")
            ),
            "fallback": lambda _, seen: _count(self.fallbacks, catalogue.FALLBACKS, seen.get("stage")),
            "apology": self._apology,
        }

    @property
    def silent_calls(self) -> int:
        """Calls whose caller has waited for a voice for too long."""
        return len(self._silent)

    def answered(self, answer: Answer) -> None:
        self.job_requests.labels(answer.value).inc()

    def observed(self, line: int, observation: dict[str, Any]) -> None:
        """Take one observation; `line` tells the jobs apart."""
        kind = observation.get("kind")
        take = self._takers.get(kind) if isinstance(kind, str) else None
        if take is None:
            self.dropped.inc()
            return
        try:
            take(line, observation)
        except (TypeError, ValueError, KeyError, AttributeError):
            # A job of another release, or one that is broken: its calls matter more than its figures.
            self.dropped.inc()

    def job_gone(self, line: int) -> None:
        """The job on `line` has ended, whether it said so or not."""
        self._silent.discard(line)
        self.silent.set(len(self._silent))

    def _turn(self, _: int, seen: dict[str, Any]) -> None:
        _count(self.turns, catalogue.TURNS, seen.get("outcome"), other="error")
        if _is_time(ttfa_s := seen.get("ttfa_s")):
            tier = seen.get("tier")
            self.ttfa_counts[bisect.bisect_left(catalogue.TURN_TTFA.buckets, ttfa_s)] += 1
            exemplar = {"trace_id": trace} if (trace := seen.get("trace")) else None
            self.ttfa.labels(self._agent, tier if tier in self._tiers else "other").observe(ttfa_s, exemplar)
        for stage, provider, stage_s in seen.get("stages", ()):
            if _is_time(stage_s) and stage in catalogue.TURN_STAGE.values["stage"]:
                self.stages.labels(stage, self._provider(provider)).observe(stage_s)

    def _provider(self, name: str) -> str:
        """A name that is fit to be a label: short, plain, and one of a few."""
        plain = _NOT_IN_A_NAME.sub("-", name.lower())[:_LONGEST_NAME] or "unknown"
        if plain not in self._providers and len(self._providers) >= MOST_VALUES["provider"] - 1:
            return "other"
        self._providers.add(plain)
        return plain

    def _overlap(self, _: int, seen: dict[str, Any]) -> None:
        what = seen["what"]
        if what not in catalogue.INTERRUPTIONS.values["kind"]:
            raise ValueError("no such overlap")
        self.interruptions.labels(what).inc()
        if _is_time(stop_s := seen.get("stop_s")):
            self.barge_in_stop.observe(stop_s)

    @staticmethod
    def _timed(into: Histogram, metric: Metric, seen: dict[str, Any], field: str) -> None:
        if seen["result"] not in metric.values["result"] or not _is_time(seen[field]):
            raise ValueError("no such time")
        into.labels(seen["result"]).observe(seen[field])

    def _silence(self, line: int, seen: dict[str, Any]) -> None:
        if seen["silent"]:
            self._silent.add(line)
            self.silences.inc()
        else:
            self._silent.discard(line)
        self.silent.set(len(self._silent))

    def _line(self, _: int, seen: dict[str, Any]) -> None:
        for direction in _DIRECTIONS:
            if direction in seen:
                loss, jitter_s, mos = (float(value) for value in seen[direction])
                self.loss.labels(direction).observe(loss)
                self.jitter.labels(direction).observe(jitter_s)
                self.mos.labels(direction).observe(mos)
        if _is_time(rtt_s := seen.get("rtt_s")):
            self.rtt.observe(rtt_s)
        self.samples.labels("inbound").inc(int(seen["samples"]))
        self.concealed.labels("inbound").inc(int(seen["concealed"]))

    def _span(self, _: int, seen: dict[str, Any]) -> None:
        self.emit(SpanRecord.from_json(seen["span"]))

    def _apology(self, _: int, seen: dict[str, Any]) -> None:
        reason = seen.get("reason")
        _count(self.apologies, catalogue.APOLOGIES, reason)
        if reason in ("unheard", "unanswered"):
            self.turns.labels("error").inc()  # No reply was spoken, so no turn is told of otherwise.


def _is_time(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _count(into: Counter, metric: Metric, *said: Any, other: str = "other") -> None:
    values = [
        value if isinstance(value, str) and value in metric.values[label] else other
        for label, value in zip(metric.labels, said, strict=True)
    ]
    into.labels(*values).inc()
