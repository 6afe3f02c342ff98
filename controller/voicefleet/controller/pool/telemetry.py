"""The metrics of one pool: its decisions with their inputs, and how long workers start and drain.

How many workers there are is not among them: see `regions.gauges`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from voicefleet.contract.metrics import controller as catalogue
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.pool.startups import Startup
from voicefleet.scaling import Decision, PoolObservation, SupplyState

_LEAVING = frozenset({SupplyState.DRAINING, SupplyState.STOPPING})


class PoolTelemetry:
    """Records every pass of one pool."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._signals: set[str] = set()
        self._chance_shown = False
        self._draining_since: dict[str, float] = {}

    def record(
        self,
        observation: PoolObservation,
        decision: Decision,
        *,
        before: Decision | None = None,
        startups: Sequence[Startup] = (),
    ) -> None:
        """One pass: what was observed and decided.

        Args:
            before: the decision of the last pass.
            startups: of workers that have registered since then.
        """
        region = observation.spec.region
        self._record_sizes(observation, decision)
        self._record_signals(region, decision)
        if observation.complete:
            self._record_drains(region, observation)
        else:
            self._metrics.gauges[catalogue.DRAIN_OLDEST].remove(region)
        for startup in startups:
            for phase, seconds in (*startup.phases.items(), ("total", startup.total_s)):
                self._metrics.histograms[catalogue.SCALER_STARTUP].labels(region, phase).observe(seconds)
        last = before.desired if before else observation.supply
        direction = "up" if decision.desired > last else "down" if decision.desired < last else "same"
        self._metrics.counters[catalogue.SCALER_DECISIONS].labels(region, direction, decision.reason.value).inc()

    def _record_sizes(self, observation: PoolObservation, decision: Decision) -> None:
        metrics, spec = self._metrics, observation.spec
        metrics.gauges[catalogue.SCALER_DESIRED].labels(spec.region).set(decision.desired)
        metrics.gauges[catalogue.SCALER_MIN].labels(spec.region).set(spec.min_workers)
        metrics.gauges[catalogue.SCALER_MAX].labels(spec.region).set(spec.max_workers)

    def _record_signals(self, region: str, decision: Decision) -> None:
        # Unknown is not zero: a number that is not known now has no value.
        chance = decision.inputs.wait_probability
        if chance is not None:
            self._metrics.gauges[catalogue.SCALER_WAIT_PROBABILITY].labels(region).set(chance)
        elif self._chance_shown:
            self._metrics.gauges[catalogue.SCALER_WAIT_PROBABILITY].remove(region)
        self._chance_shown = chance is not None
        kept = dataclasses.replace(decision.inputs, wait_probability=None).numbers()
        for name in self._signals - kept.keys():
            self._metrics.gauges[catalogue.SCALER_SIGNAL].remove(region, name)
        self._signals = set(kept)
        for name, value in kept.items():
            self._metrics.gauges[catalogue.SCALER_SIGNAL].labels(region, name).set(value)

    def _record_drains(self, region: str, observation: PoolObservation) -> None:
        now_s = observation.now_s
        here = {w.id: w for w in observation.workers}
        for worker, since_s in list(self._draining_since.items()):
            seen = here.get(worker)
            if seen is None:
                self._metrics.histograms[catalogue.DRAIN].labels(region).observe(now_s - since_s)
            if seen is None or seen.state not in _LEAVING:
                del self._draining_since[worker]
        for worker, seen in here.items():
            if seen.state in _LEAVING:
                self._draining_since.setdefault(worker, now_s)
        oldest_s = max((now_s - since_s for since_s in self._draining_since.values()), default=0.0)
        self._metrics.gauges[catalogue.DRAIN_OLDEST].labels(region).set(oldest_s)
