"""The HorizontalPodAutoscaler on an external or CPU metric, and the systems that set it up: KEDA, dograh, LiveKit.

Modelled after kubernetes v1.34, pkg/controller/podautoscaler: `replica_calculator.go` (GetExternalPerPodMetricReplicas,
GetResourceReplicas) and `horizontal.go` (normalizeDesiredReplicasWithBehaviors: stabilization, then rate limits, then
bounds), and the default behaviour of autoscaling/v2: up at once, at most +100 % or +4 pods in 15 s, whichever is
more; down to the highest recommendation of 300 s, at most 100 % in 15 s; tolerance 0.1; a sync every 15 s.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from voicefleet.simulator.baselines.base import View

SYNC_S = 15.0
TOLERANCE = 0.1
METRIC_WINDOW_S = 30.0


@dataclass(frozen=True, slots=True)
class Behavior:
    """`spec.behavior`: windows in seconds, rate limits per `period_s`. The larger of pods and percent counts."""

    up_window_s: float = 0.0
    up_percent: float = 100.0
    up_pods: int = 4
    up_period_s: float = 15.0
    down_window_s: float = 300.0
    down_percent: float | None = 100.0
    down_pods: int | None = None
    down_period_s: float = 15.0


class Hpa:
    """The part that all metrics share: stabilization, rate limits, bounds, in that order.

    Raw recommendations are kept, not the ones after limits; the first one is the present size, as
    `recordInitialRecommendation` does. A rate limit counts from the size at the start of its period.
    """

    every_s = SYNC_S
    idle_only = False

    def __init__(self, name: str, behavior: Behavior) -> None:
        self.name = name
        self._behavior = behavior
        self._recommended: deque[tuple[float, int]] = deque()
        self._changes: deque[tuple[float, int]] = deque()

    def recommend(self, now_s: float, view: View) -> int | None:
        """Replicas by the metric alone; None when it cannot be read."""
        raise NotImplementedError

    def decide(self, now_s: float, view: View) -> int | None:
        if view.replicas == 0:
            return None  # scaled to zero by hand: the HPA is off
        raw = self.recommend(now_s, view)
        if raw is None:
            return None
        if not self._recommended:
            self._recommended.append((now_s, view.replicas))
        stable = self._stabilized(now_s, raw, view.replicas)
        limited = self._limited(now_s, stable, view.replicas)
        wanted = min(max(limited, view.min_replicas), view.max_replicas)
        if wanted != view.replicas:
            self._changes.append((now_s, wanted - view.replicas))
        return wanted

    def _stabilized(self, now_s: float, raw: int, current: int) -> int:
        rules = self._behavior
        self._recommended.append((now_s, raw))
        longest = max(rules.up_window_s, rules.down_window_s)
        while self._recommended[0][0] < now_s - longest:
            self._recommended.popleft()
        up = min([raw, *(n for at, n in self._recommended if at > now_s - rules.up_window_s)])
        down = max([raw, *(n for at, n in self._recommended if at > now_s - rules.down_window_s)])
        # The present size, moved only as far as both windows agree (stabilizeRecommendationWithBehaviors).
        return min(max(current, up), down)

    def _limited(self, now_s: float, wanted: int, current: int) -> int:
        rules = self._behavior
        while self._changes and self._changes[0][0] < now_s - max(rules.up_period_s, rules.down_period_s):
            self._changes.popleft()
        if wanted > current:
            added = sum(d for at, d in self._changes if d > 0 and at > now_s - rules.up_period_s)
            start = current - added
            most = max(start + rules.up_pods, math.ceil(start * (1 + rules.up_percent / 100)))
            return min(wanted, max(most, current))
        if wanted < current:
            removed = sum(-d for at, d in self._changes if d < 0 and at > now_s - rules.down_period_s)
            start = current + removed
            floors = []
            if rules.down_pods is not None:
                floors.append(start - rules.down_pods)
            if rules.down_percent is not None:
                floors.append(int(start * (1 - rules.down_percent / 100)))
            return max(wanted, min(min(floors), current)) if floors else wanted
        return wanted


class CallsHpa(Hpa):
    """External metric with an AverageValue target: ``ceil(value / target)`` unless within the tolerance of it.

    Args:
        buffer: free slots wanted; the metric is the calls there are, and these.
        count_waiting: whether the metric counts callers without an agent. Without them a full fleet reads
            1 + B/(K R), which the tolerance swallows once K R >= 10 B, and the fleet never grows again.
    """

    def __init__(
        self, name: str, *, buffer: int = 0, behavior: Behavior | None = None, count_waiting: bool = True
    ) -> None:
        super().__init__(name, behavior or Behavior())
        self._buffer = buffer
        self._count_waiting = count_waiting

    def recommend(self, now_s: float, view: View) -> int | None:
        if view.error:
            return None
        value = view.served + self._buffer + (view.waiting if self._count_waiting else 0)
        usage = value / (view.slots * view.replicas)
        if abs(1.0 - usage) <= TOLERANCE:
            return view.replicas
        return math.ceil(value / view.slots)


class CpuHpa(Hpa):
    """Resource metric: CPU, as a share of the request. A call takes 1/K of it, an idle worker 3 %.

    Pods that are not ready, and those whose metric does not lie wholly after their readiness (30 s, within the CPU
    initialization period), are left out; if the rest would scale up, they count as idle (`groupPods`,
    `GetResourceReplicas`).
    """

    def __init__(self, name: str, *, target: float) -> None:
        super().__init__(name, Behavior())
        self._target = target

    def recommend(self, now_s: float, view: View) -> int | None:
        if view.error:
            return None
        measured = [
            0.03 + 0.97 * n / view.slots
            for n, age in zip(view.busy, view.ready_ages_s, strict=True)
            if age >= METRIC_WINDOW_S
        ]
        if not measured:
            return None
        unready = view.replicas - len(measured)
        ratio = sum(measured) / len(measured) / self._target
        if not (unready and ratio > 1.0):
            return view.replicas if abs(1.0 - ratio) <= TOLERANCE else math.ceil(ratio * len(measured))
        with_idle = sum(measured) / view.replicas / self._target
        if abs(1.0 - with_idle) <= TOLERANCE or with_idle < 1.0:
            return view.replicas
        return max(math.ceil(with_idle * view.replicas), view.replicas)


def keda(buffer: int) -> CallsHpa:
    """KEDA 2.18 with a Prometheus trigger of live and waiting calls plus a buffer, threshold K.

    KEDA's own 30 s poll decides only between 0 and 1; from 1 up it is an HPA external metric, read live every 15 s
    (keda v2.18, pkg/scaling/scale_handler.go and pkg/provider).
    """
    return CallsHpa("keda", buffer=buffer)


def dograh(buffer: int) -> CallsHpa:
    """dograh's chart (pull request 577): ``ceil((C + B)/K)`` of served calls, B = 10; down after 600 s, 1 pod a minute.

    Its formula counts the calls that are served, so that the tolerance can lock it (facts of the model: K=2, B=10,
    poll 10 s, which the HPA's sync of 15 s bounds).
    """
    behavior = Behavior(down_window_s=600.0, down_percent=None, down_pods=1, down_period_s=60.0)
    return CallsHpa("dograh", buffer=buffer, behavior=behavior, count_waiting=False)


def cpu(target_percent: int) -> CpuHpa:
    """An HPA on CPU at its usual target of 80 %."""
    return CpuHpa("hpa-cpu", target=target_percent / 100)


def livekit(target_percent: int) -> CpuHpa:
    """LiveKit's guide for self-hosted agents (docs.livekit.io, agents/ops/deployment): an HPA on CPU at 50 %."""
    return CpuHpa("livekit", target=target_percent / 100)
