"""voicefleet's policies in the simulator: `step` and `plan` of the live controller, at the live tick."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voicefleet.contract.pools import PoolSpec
from voicefleet.contract.reports import STALE_AFTER_S
from voicefleet.scaling import (
    Campaign,
    PolicyState,
    PoolObservation,
    State,
    SupplyState,
    Worker,
    initial_state,
    plan,
    step,
)
from voicefleet.scaling.policy_state import dump, load
from voicefleet.simulator.cluster.cluster import Cluster
from voicefleet.simulator.cluster.pods import READY, STARTING, Pod
from voicefleet.simulator.engine import Metrics
from voicefleet.traffic.traces import Trace

_REFRESH_TICKS = 30
"""A ready worker's age is brought up to date so often: only the order of ages matters."""
_STATES = {STARTING: SupplyState.STARTING, READY: SupplyState.READY}


class VoicefleetPolicy:
    """A pool that the live controller's code scales: a `Scaler` for the engine."""

    def __init__(
        self, spec: PoolSpec, *, name: str = "voicefleet", every_s: float = 2.0, start_timeout_s: float = 300.0
    ) -> None:
        self.name = name
        self.every_s = every_s
        self._spec = spec
        self._start_timeout_s = start_timeout_s
        self._state: State | None = None
        self._learned: PolicyState | None = None
        self._campaigns: tuple[Campaign, ...] = ()
        self._calls: tuple[int, int, int, NDArray[np.float64]] | None = None
        self._ticks = 0

    def begin(self, cluster: Cluster, trace: Trace) -> None:
        """Take over. What the last leader learned is in Redis; what it was about to do is not."""
        self._learned = load(dump(self._state.learned)) if self._state is not None else None
        self._state = None
        self._campaigns = tuple([Campaign(start, start + length, rate) for start, length, rate in trace.campaigns])

    def tick(self, now_s: float, cluster: Cluster, seen: Metrics) -> None:
        observation = self._observe(now_s, cluster, seen)
        if self._state is None:
            self._state = initial_state(now_s, observation.supply, self._learned)
        self._state, decision = step(self._state, observation)
        actions = plan(observation, decision)
        if actions.none:
            return
        pods = {pod.id: pod for pod in cluster.pods}
        cluster.tally.actions += bool(actions.start or actions.cordon)
        for worker in actions.uncordon:
            cluster.uncordon(now_s, pods[worker])
        for worker in actions.cordon:
            cluster.cordon(now_s, pods[worker])
        for worker in (*actions.retire, *actions.replace):
            cluster.stop(now_s, pods[worker])
        cluster.add(now_s, actions.start)

    def _observe(self, now_s: float, cluster: Cluster, seen: Metrics) -> PoolObservation:
        self._ticks += 1
        if self._ticks % _REFRESH_TICKS == 0:
            for pod in cluster.pods:
                pod.cached.clear()
        slots = self._spec.slots
        workers = tuple([pod.cached.get(pod.busy) or _worker(pod, now_s, slots) for pod in cluster.pods])
        ended, cluster.ended_durations = tuple(cluster.ended_durations), []
        started, cluster.started_times = tuple(cluster.started_times), []
        if seen.missing or seen.stale_s > STALE_AFTER_S:
            # The live controller takes nothing old for new: the calls are unknown, the workers are not.
            return PoolObservation(
                self._spec, now_s, workers, None, None, None, complete=False, start_timeout_s=self._start_timeout_s,
                started_s=started, campaigns=self._campaigns,
            )  # fmt: skip
        if not seen.stale_s or self._calls is None:
            self._calls = (cluster.live, cluster.waiting, seen.arrived, now_s - cluster.began)
        live, waiting, arrived, ages_s = self._calls
        return PoolObservation(
            spec=self._spec,
            now_s=now_s,
            workers=workers,
            calls_live=live,
            calls_waiting=waiting,
            calls_joining=0,
            complete=True,
            start_timeout_s=self._start_timeout_s,
            arrived=arrived,
            ages_s=ages_s,
            ended_s=ended,
            started_s=started,
            campaigns=self._campaigns,
        )


def _worker(pod: Pod, now_s: float, slots: int) -> Worker:
    state = _STATES.get(pod.state, SupplyState.STOPPING)
    seen = now_s >= pod.order_seen_s
    if state is SupplyState.READY and (pod.cordoned if seen else not pod.cordoned and pod.order_seen_s > 0.0):
        state = SupplyState.DRAINING
    fresh = Worker(pod.id, state, slots, pod.busy, 0, now_s - pod.asked_s, 0.0, pod.cordoned, seen)
    # A starting worker's age tells when it is overdue, an order's arrival changes the state.
    if seen and state is not SupplyState.STARTING:
        pod.cached[pod.busy] = fresh
    return fresh
