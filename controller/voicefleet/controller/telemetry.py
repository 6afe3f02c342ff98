"""What one pool tells of itself: its supply, what its decisions were made from, and how long workers drain."""

from __future__ import annotations

from voicefleet.contract.metrics import MOST_VALUES
from voicefleet.controller.metrics import Metrics
from voicefleet.scaling import Decision, PoolObservation, SupplyState

_WAIT_PROBABILITY = "wait_probability"
"""The input by which a policy tells the chance that a new caller has to wait."""
_LEAVING = frozenset({SupplyState.DRAINING, SupplyState.STOPPING})


class PoolTelemetry:
    """One pool's. Told of every pass."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._signals: set[str] = set()
        self._draining_since: dict[str, float] = {}

    def tell(self, observation: PoolObservation, decision: Decision) -> None:
        """One pass: what was seen and decided."""
        region = observation.spec.region
        self._metrics.current.labels(region).set(observation.supply)
        self._tell_signals(region, decision)
        if observation.complete:
            self._tell_drains(region, observation)

    def _tell_signals(self, region: str, decision: Decision) -> None:
        numbers = {
            name: float(value)
            for name, value in decision.inputs.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        chance = numbers.pop(_WAIT_PROBABILITY, None)
        if chance is not None:
            self._metrics.wait_probability.labels(region).set(chance)
        kept = dict(sorted(numbers.items())[: MOST_VALUES["signal"]])
        for name in self._signals - kept.keys():
            # Unknown is not zero: a signal that is not known now has no value.
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
