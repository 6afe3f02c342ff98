"""What one pool tells of itself: its supply, what its decisions were made from, and how long workers drain."""

from __future__ import annotations

import dataclasses

from voicefleet.controller.metrics import Metrics
from voicefleet.scaling import Decision, PoolObservation, SupplyState

_LEAVING = frozenset({SupplyState.DRAINING, SupplyState.STOPPING})


class PoolTelemetry:
    """One pool's. Told of every pass."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._signals: set[str] = set()
        self._told_chance = False
        self._draining_since: dict[str, float] = {}

    def tell(self, observation: PoolObservation, decision: Decision) -> None:
        """One pass: what was seen and decided."""
        region = observation.spec.region
        self._metrics.current.labels(region).set(observation.supply)
        self._tell_signals(region, decision)
        if observation.complete:
            self._tell_drains(region, observation)

    def _tell_signals(self, region: str, decision: Decision) -> None:
        # Unknown is not zero: a number that is not known now has no value.
        chance = decision.inputs.wait_probability
        if chance is not None:
            self._metrics.wait_probability.labels(region).set(chance)
        elif self._told_chance:
            self._metrics.wait_probability.remove(region)
        self._told_chance = chance is not None
        kept = dataclasses.replace(decision.inputs, wait_probability=None).numbers()
        for name in self._signals - kept.keys():
            self._metrics.signal.remove(region, name)
        self._signals = set(kept)
        for name, value in kept.items():
            self._metrics.signal.labels(region, name).set(value)

    def _tell_drains(self, region: str, observation: PoolObservation) -> None:
        now_s = observation.now_s
        here = {w.id: w for w in observation.workers}
        for worker, since_s in list(self._draining_since.items()):
            seen = here.get(worker)
            if seen is None:
                self._metrics.drain.labels(region).observe(now_s - since_s)
            if seen is None or seen.state not in _LEAVING:
                del self._draining_since[worker]
        for worker, seen in here.items():
            if seen.state in _LEAVING:
                self._draining_since.setdefault(worker, now_s)
        oldest_s = max((now_s - since_s for since_s in self._draining_since.values()), default=0.0)
        self._metrics.drain_oldest.labels(region).set(oldest_s)
