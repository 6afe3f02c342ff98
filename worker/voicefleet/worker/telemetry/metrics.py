"""The worker's metrics, fed by its own parts and by the observations of the job processes.

A label's value comes from the catalogue's closed set, whatever a job says; anything else is counted as other.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry

from voicefleet.contract.metrics import MOST_VALUES, Metric
from voicefleet.contract.metrics import worker as catalogue
from voicefleet.contract.spans import SpanRecord
from voicefleet.runtime.metrics import Instruments, open_series
from voicefleet.worker.server.admission import Answer
from voicefleet.worker.telemetry import observations as seen

_NOT_IN_A_NAME = re.compile(r"[^a-z0-9._-]+")
_LONGEST_NAME = 40
_UNKNOWN = ("other", "error")
"""What a label's value outside the closed set is counted as, where the set has one of these."""


class WorkerMetrics(Instruments):
    """All metric families of one worker.

    Args:
        tiers: the names of the tiers there are.
        agent: the name that dispatches ask for.
    """

    def __init__(self, registry: CollectorRegistry, tiers: frozenset[str], agent: str = "voicefleet") -> None:
        super().__init__(catalogue, registry)
        self._tiers = frozenset(sorted(tiers)[: MOST_VALUES["tier"] - 1])
        self._agent = agent
        self._providers: set[str] = set()
        self._silent: set[int] = set()
        self.ttfa_counts = [0] * (len(catalogue.TURN_TTFA.buckets) + 1)
        """Turns by TTFA: what the controller's own page is drawn from."""
        self.emit: Callable[[SpanRecord], None] = lambda _: None
        """Takes the jobs' spans."""
        for tier in self._tiers:
            open_series(self.histograms[catalogue.TURN_TTFA], catalogue.TURN_TTFA, agent=agent, tier=tier)
        self._more: Mapping[type[seen.Observation], Callable[[int, Any], None]] = {
            seen.Turn: self._turn,
            seen.Interruption: self._interruption,
            seen.DeadAir: self._dead_air,
            seen.RtpInterval: self._rtp,
            seen.Span: lambda _, span: self.emit(span.record),
        }

    @property
    def silent_calls(self) -> int:
        """Calls whose caller has waited for a voice for too long."""
        return len(self._silent)

    def counts(self, metric: Metric) -> dict[str, int]:
        """What a counter has counted: its labels, with a slash between two -> how often; none that is zero."""
        samples = (s for family in self.counters[metric].collect() for s in family.samples if s.name in metric.samples)
        return {"/".join(s.labels[label] for label in metric.labels): int(s.value) for s in samples if s.value}

    def answered(self, answer: Answer) -> None:
        """An offer of a call was answered."""
        self.counters[catalogue.JOB_REQUESTS].labels(answer.value).inc()

    def dropped(self) -> None:
        """An observation could not be read."""
        self.counters[catalogue.OBSERVATIONS_DROPPED].inc()

    def observed(self, channel: int, observation: seen.Observation) -> None:
        """Take one observation; `channel` tells the jobs apart."""
        try:
            if observation.metric is not None:
                self._count(observation.metric, observation)
        except ValueError:
            # A job of another release, or one that is broken: its calls matter more than its figures.
            self.dropped()
            return
        if (more := self._more.get(type(observation))) is not None:
            more(channel, observation)

    def job_gone(self, channel: int) -> None:
        """The job on `channel` has ended, whether it said so or not."""
        self._silent.discard(channel)
        self.gauges[catalogue.CALLS_SILENT].set(len(self._silent))

    def _count(self, metric: Metric, observation: seen.Observation) -> None:
        labels = [self._value(metric, label, observation) for label in metric.labels]
        if metric.kind == "histogram":
            self.histograms[metric].labels(*labels).observe(observation.seconds)  # type: ignore[attr-defined]
        else:
            (self.counters[metric].labels(*labels) if labels else self.counters[metric]).inc()

    def _value(self, metric: Metric, label: str, observation: seen.Observation) -> str:
        if label == "agent":
            return self._agent
        told: str = getattr(observation, label)
        return self._tier(told) if label == "tier" else _label(metric, label, told)

    def _turn(self, _: int, turn: seen.Turn) -> None:
        if turn.ttfa_s is not None:
            self.ttfa_counts[bisect.bisect_left(catalogue.TURN_TTFA.buckets, turn.ttfa_s)] += 1
            exemplar = {"trace_id": turn.trace} if turn.trace else None
            self.histograms[catalogue.TURN_TTFA].labels(self._agent, self._tier(turn.tier)).observe(
                turn.ttfa_s, exemplar
            )
        for timing in turn.stages:
            if timing.stage in catalogue.TURN_STAGE.values["stage"]:
                labels = (timing.stage, self._provider(timing.provider))
                self.histograms[catalogue.TURN_STAGE].labels(*labels).observe(timing.seconds)

    def _provider(self, name: str) -> str:
        """A name that is fit to be a label: short, plain, and one of a few."""
        plain = _NOT_IN_A_NAME.sub("-", name.lower())[:_LONGEST_NAME] or "unknown"
        if plain not in self._providers and len(self._providers) >= MOST_VALUES["provider"] - 1:
            return "other"
        self._providers.add(plain)
        return plain

    def _tier(self, name: str) -> str:
        return name if name in self._tiers else "other"

    def _interruption(self, _: int, interruption: seen.Interruption) -> None:
        if interruption.stop_s is not None:
            self.histograms[catalogue.BARGE_IN_STOP].observe(interruption.stop_s)

    def _dead_air(self, channel: int, dead_air: seen.DeadAir) -> None:
        if dead_air.silent:
            self._silent.add(channel)
            self.counters[catalogue.SILENCES].inc()
        else:
            self._silent.discard(channel)
        self.gauges[catalogue.CALLS_SILENT].set(len(self._silent))

    def _rtp(self, _: int, interval: seen.RtpInterval) -> None:
        for name, direction in (("inbound", interval.inbound), ("outbound", interval.outbound)):
            if direction is not None:
                self.histograms[catalogue.PACKET_LOSS].labels(name).observe(direction.loss_ratio)
                self.histograms[catalogue.JITTER].labels(name).observe(direction.jitter_s)
                self.histograms[catalogue.MOS].labels(name).observe(direction.mos)
        if interval.rtt_s is not None:
            self.histograms[catalogue.RTT].observe(interval.rtt_s)
        self.counters[catalogue.SAMPLES].labels("inbound").inc(interval.samples)
        self.counters[catalogue.CONCEALED].labels("inbound").inc(interval.concealed)


def _label(metric: Metric, label: str, value: str) -> str:
    """`value`, or what stands for one outside the closed set. Raises `ValueError`: nothing does."""
    allowed = metric.values[label]
    if value in allowed:
        return value
    for unknown in _UNKNOWN:
        if unknown in allowed:
            return unknown
    raise ValueError(f"{metric.name} has no such {label}")
