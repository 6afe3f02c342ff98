"""Policies of one line: a reserve by the rate of calls, a fixed size, rate times start time."""

from __future__ import annotations

import math
from collections import deque

from voicefleet.simulator.baselines.base import View


class PipecatReserve:
    """Pipecat Cloud's guide (docs.pipecat.daily.co, fundamentals/scaling): idle agents = max(baseline, calls/s * 30 s).

    Reserved agents stay for the cooldown of five minutes after they were needed. There an agent is one call; here they
    are slots, K of them in a worker. The rate is that of the last minute.
    """

    name = "pipecat"
    every_s = 15.0
    idle_only = True
    _COOLDOWN_S, _RATE_S, _START_S = 300.0, 60.0, 30.0

    def __init__(self, baseline: int) -> None:
        self._baseline = baseline
        self._arrived: deque[tuple[float, int]] = deque()
        self._wanted: deque[tuple[float, int]] = deque()

    def decide(self, now_s: float, view: View) -> int | None:
        if view.error:
            return None
        self._arrived.append((now_s, view.arrived))
        while now_s - self._arrived[0][0] > self._RATE_S:
            self._arrived.popleft()
        first, span = self._arrived[0][1], now_s - self._arrived[0][0]
        rate = (view.arrived - first) / span if span > 0 else 0.0
        reserve = max(self._baseline, math.ceil(rate * self._START_S))
        self._wanted.append((now_s, math.ceil((view.served + view.waiting + reserve) / view.slots)))
        while now_s - self._wanted[0][0] > self._COOLDOWN_S:
            self._wanted.popleft()
        return max(n for _, n in self._wanted)


class Static:
    """A fixed number of workers: what teams do who do not scale."""

    name = "static"
    every_s = 60.0
    idle_only = True

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def decide(self, now_s: float, view: View) -> int | None:
        return self._workers


class RateTimesStart:
    """The rule of thumb: calls + rate of the last minute * start time, every 15 s. (P(Poisson(30) > 30) = 45 %.)"""

    name = "rate-x-start"
    every_s = 15.0
    idle_only = False

    def __init__(self, start_s: int) -> None:
        self._start_s = start_s
        self._arrived: deque[tuple[float, int]] = deque()

    def decide(self, now_s: float, view: View) -> int | None:
        if view.error:
            return None
        self._arrived.append((now_s, view.arrived))
        while now_s - self._arrived[0][0] > 60.0:
            self._arrived.popleft()
        span = now_s - self._arrived[0][0]
        rate = (view.arrived - self._arrived[0][1]) / span if span > 0 else 0.0
        return math.ceil((view.served + view.waiting + rate * self._start_s) / view.slots)


class DelayedOff:
    """AutoScale's DELAYEDOFF (Gandhi et al. 2012): a worker per K calls, given up after it was idle for as long as a
    start costs; the reactive optimum when starts are free of risk."""

    name = "delayedoff"
    every_s = 2.0
    idle_only = True

    def __init__(self, idle_s: int) -> None:
        self._idle_s = idle_s
        self._wanted: deque[tuple[float, int]] = deque()

    def decide(self, now_s: float, view: View) -> int | None:
        if view.error:
            return None
        self._wanted.append((now_s, math.ceil((view.served + view.waiting) / view.slots)))
        while now_s - self._wanted[0][0] > self._idle_s:
            self._wanted.popleft()
        return max(n for _, n in self._wanted)
