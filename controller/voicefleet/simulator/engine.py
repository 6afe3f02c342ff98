"""One policy in one world: events in the order of time."""

from __future__ import annotations

import heapq
import math
from typing import Protocol

import numpy as np

from voicefleet.simulator.cluster.cluster import Cluster
from voicefleet.simulator.cluster.pods import READY
from voicefleet.simulator.outcome import Outcome, Sample, oracle_hours, p99, peak_within
from voicefleet.simulator.world import FaultKind, World
from voicefleet.traffic.traces import Trace

SAMPLES = 1_000


class Scaler(Protocol):
    """A policy at work in a cluster."""

    name: str
    every_s: float
    """It looks so often."""

    def begin(self, cluster: Cluster, trace: Trace) -> None:
        """It takes over the cluster, knowing nothing; at the start and after each change of leader."""
        ...

    def tick(self, now_s: float, cluster: Cluster, seen: Metrics) -> None:
        """Look, decide and act."""
        ...


class Metrics:
    """What a scaler can read at a tick, besides the cluster itself."""

    __slots__ = ("arrived", "missing", "stale_s")

    def __init__(self) -> None:
        self.arrived = 0
        """Calls that ever arrived."""
        self.stale_s = 0.0
        """Age of the metrics; 0: fresh."""
        self.missing = False
        """The calls cannot be read."""


def run(world: World, trace: Trace, scaler: Scaler, *, oracle: float | None = None) -> Outcome:
    """Play `trace` to the end of its last call.

    Args:
        oracle: the trace's `oracle_hours`, when they are known already.
    """
    count = len(trace)
    rng = np.random.default_rng([world.seed, 4])
    luck = rng.random(count).tolist()
    patience = rng.exponential(world.patience_s, count).tolist()
    cluster = Cluster(world, trace.durations_s.tolist(), luck, patience)
    phase_s = float(rng.random()) * scaler.every_s
    initial = world.initial_workers
    if initial is None:
        initial = math.ceil(peak_within(trace, 3 * world.start_p50_s) / world.slots) + 1
    cluster.prime(min(max(initial, world.min_workers), world.max_workers))
    end_s = float((trace.arrivals_s + trace.durations_s).max()) if count else 0.0
    samples, over_s = _play(world, trace, scaler, cluster, phase_s, end_s)
    cluster.close(over_s)
    tally = cluster.tally
    least = oracle_hours(trace, world.slots) if oracle is None else oracle
    return Outcome(
        policy=scaler.name,
        offered=count,
        waited=sum(w > world.wait_counts_s for w in tally.waits_s),
        wait_p99_s=p99(tally.waits_s, count),
        lost=tally.lost,
        killed=tally.killed,
        worker_hours=tally.worker_s / 3600,
        cost_ratio=tally.worker_s / 3600 / least if least else math.inf,
        scale_actions=tally.actions,
        drain_hours=tally.drain_s / 3600,
        handoffs=tally.handoffs,
        samples=tuple(samples),
    )


def _play(
    world: World, trace: Trace, scaler: Scaler, cluster: Cluster, phase_s: float, end_s: float
) -> tuple[list[Sample], float]:
    arrivals = [*trace.arrivals_s.tolist(), math.inf]
    ends, events = cluster.ends, cluster.events
    pop = heapq.heappop
    sight, samples = Metrics(), []
    sample_s = max(end_s / SAMPLES, 1.0)
    next_tick_s, next_sample_s, call = phase_s, 0.0, 0
    blind = [f for f in world.faults if f.kind in (FaultKind.STALE, FaultKind.MISSING, FaultKind.LEADER_CHANGE)]
    fresh_leader = True
    for fault in world.faults:
        if fault.kind is FaultKind.LOST_REGION:
            cluster.at(fault.at_s, cluster.lose_all)
    next_arrival = arrivals[0]
    now_s = 0.0
    while True:
        end = ends[0][0] if ends else math.inf
        event = events[0][0] if events else math.inf
        first = min(next_arrival, end, event, next_tick_s)
        if first >= end_s and not ends and not cluster.queue:
            break
        if first > 2 * end_s + 86_400.0:
            break
        now_s = first
        if first == end:
            _, over = pop(ends)
            cluster.end(first, over)
        elif first == event:
            _, _, what, args = pop(events)
            what(first, *args)
        elif first == next_arrival:
            cluster.arrive(first, call)
            call += 1
            next_arrival = arrivals[call]
        else:
            next_tick_s += scaler.every_s
            sight.arrived = call
            sight.stale_s, sight.missing, leaderless = 0.0, False, False
            for fault in blind:
                if fault.at_s <= first < fault.at_s + fault.for_s:
                    if fault.kind is FaultKind.STALE:
                        sight.stale_s = first - fault.at_s
                    elif fault.kind is FaultKind.MISSING:
                        sight.missing = True
                    else:
                        leaderless = True
            if leaderless:
                fresh_leader = True
            else:
                if fresh_leader:
                    scaler.begin(cluster, trace)
                    fresh_leader = False
                scaler.tick(first, cluster, sight)
            if first >= next_sample_s:
                next_sample_s += sample_s
                ready = sum(p.state == READY and not p.cordoned for p in cluster.pods)
                samples.append(Sample(first, cluster.live + cluster.waiting, ready * world.slots, len(cluster.pods)))
    return samples, max(now_s, end_s)
