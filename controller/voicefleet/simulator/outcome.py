"""What one policy made of one trace, and the least that an all-knowing one would have paid."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from voicefleet.traffic.traces import Trace

Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Sample:
    """The fleet at one moment."""

    at_s: float
    calls: int
    ready_slots: int
    workers: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """One policy's run. Hours are worker-hours, from the order for a worker to its end."""

    policy: str
    offered: int
    waited: int
    """Calls without an agent for more than `World.wait_counts_s`, those whose caller hung up after that included."""
    wait_p99_s: float
    lost: int
    """Calls whose caller hung up before an agent came, however soon."""
    killed: int
    worker_hours: float
    cost_ratio: float
    scale_actions: int
    drain_hours: float
    handoffs: int = 0
    samples: tuple[Sample, ...] = field(default=(), repr=False)

    @property
    def wait_ratio(self) -> float:
        return self.waited / self.offered if self.offered else 0.0

    @property
    def wait_ratio_upper(self) -> float:
        """Upper end of the 95 % Wilson interval of `wait_ratio`."""
        return wilson_upper(self.waited, self.offered)

    def to_json(self) -> dict[str, float | int]:
        """The figures of `voicefleet simulate --json`."""
        return {
            "offered": self.offered,
            "waited": self.waited,
            "wait_ratio": self.wait_ratio,
            "wait_p99_s": round(self.wait_p99_s, 3),
            "lost": self.lost,
            "killed": self.killed,
            "worker_hours": round(self.worker_hours, 4),
            "cost_ratio": round(self.cost_ratio, 4),
            "scale_actions": self.scale_actions,
            "drain_hours": round(self.drain_hours, 4),
        }


def wilson_upper(hits: int, tries: int, z: float = Z95) -> float:
    """Upper end of Wilson's interval for a share; 1 when nothing was tried."""
    if tries == 0:
        return 1.0
    p = hits / tries
    middle = p + z * z / (2 * tries)
    spread = z * math.sqrt(p * (1 - p) / tries + z * z / (4 * tries * tries))
    return min(1.0, (middle + spread) / (1 + z * z / tries))


def p99(waits_s: list[float], offered: int) -> float:
    """99th percentile of the wait over all calls, those that did not wait counted as 0."""
    if not offered:
        return 0.0
    rank = math.ceil(0.99 * offered)
    zeros = offered - len(waits_s)
    return 0.0 if rank <= zeros else sorted(waits_s)[rank - zeros - 1]


def live_calls(trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """When the number of calls in progress changes, and to what: two arrays of the same shape, nobody ever waiting."""
    times = np.concatenate([trace.arrivals_s, trace.arrivals_s + trace.durations_s])
    change = np.concatenate([np.ones(len(trace), dtype=int), -np.ones(len(trace), dtype=int)])
    order = np.lexsort((change, times))  # an end before an arrival at the same instant
    return times[order], np.cumsum(change[order])


def oracle_hours(trace: Trace, slots: int) -> float:
    """Worker-hours of a policy that knows the future and moves calls for free: the integral of ceil(live calls / K)."""
    times, live = live_calls(trace)
    return float(np.sum(np.diff(times) * np.ceil(live[:-1] / slots))) / 3600


def peak_within(trace: Trace, until_s: float) -> int:
    """Most calls in progress at any moment of the first `until_s` seconds."""
    times, live = live_calls(trace)
    early = live[times <= until_s]
    return int(early.max()) if early.size else 0
