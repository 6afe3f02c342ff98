"""Knative's pod autoscaler (KPA) on concurrency.

Modelled after knative/serving v1.16, pkg/autoscaler/scaling/autoscaler.go (`Scale`) and the defaults of
config-autoscaler: tick 2 s, stable window 60 s, panic window 10 % of it, panic at 200 %, target 70 % of the container's
concurrency, bounds [floor(ready / 2), ceil(1000 ready)] of one step. Concurrency is averaged over 1 s buckets; here it
is sampled at the tick of 2 s, which for calls of minutes is the same.
"""

from __future__ import annotations

import math
from collections import deque

from voicefleet.simulator.baselines.base import View

TICK_S = 2.0
STABLE_S, PANIC_S, PANIC_AT = 60.0, 6.0, 2.0
MAX_UP, MAX_DOWN = 1000.0, 2.0


class Kpa:
    """Args: target_percent: of K, what a pod should carry; 70 by default."""

    name = "knative"
    every_s = TICK_S
    idle_only = False

    def __init__(self, target_percent: int = 70) -> None:
        self._target = target_percent / 100
        self._seen: deque[tuple[float, float]] = deque()
        self._panic_s: float | None = None
        self._panic_most = 0
        self._first = True

    def decide(self, now_s: float, view: View) -> int | None:
        if self._first:
            # A new autoscaler that finds more than one pod begins in panic, lest it scale down for want of history.
            self._first = False
            if view.ready > 1:
                self._panic_s, self._panic_most = now_s, view.ready
        if not view.error:
            # The queue in front of the pods counts as concurrency.
            self._seen.append((now_s, float(view.served + view.waiting)))
        while self._seen and self._seen[0][0] <= now_s - STABLE_S:
            self._seen.popleft()
        panic = [n for at, n in self._seen if at > now_s - PANIC_S]
        if not self._seen or not panic:
            return None  # no data: an invalid decision, not zero
        stable_value = sum(n for _, n in self._seen) / len(self._seen)
        panic_value = sum(panic) / len(panic)
        ready = max(1, view.ready)
        target = self._target * view.slots
        most, least = math.ceil(MAX_UP * ready), math.floor(ready / MAX_DOWN)
        for_stable, for_panic = math.ceil(stable_value / target), math.ceil(panic_value / target)
        stable = int(min(max(for_stable, least), most))
        panicking = int(min(max(for_panic, least), most))
        if for_panic / ready >= PANIC_AT:
            self._panic_s = now_s
        elif self._panic_s is not None and self._panic_s + STABLE_S < now_s:
            self._panic_s, self._panic_most = None, 0
        if self._panic_s is None:
            return stable
        self._panic_most = max(self._panic_most, stable, panicking)
        return self._panic_most
