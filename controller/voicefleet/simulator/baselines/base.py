"""What other systems' policies see, and how their decisions are carried out: as a Deployment's replica count.

A policy here is `decide(now_s, view) -> replicas | None` (None: hold). The cluster then acts as Kubernetes does: new
pods are asked for at once, surplus ones are picked by the ReplicaSet's order (pods that are not ready first, then
those with the lower deletion cost, here the idle ones if the policy marks them, then the newest) and get SIGTERM.
They drain as our own workers do, handoff included: what differs between the policies is only how many, and when.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from voicefleet.simulator.cluster.cluster import Cluster
from voicefleet.simulator.cluster.pods import READY, STARTING, STOPPING, Pod
from voicefleet.simulator.engine import Metrics
from voicefleet.simulator.world import World
from voicefleet.traffic.traces import Trace


@dataclass(frozen=True, slots=True)
class View:
    """What a policy can read at one tick.

    Attributes:
        replicas: pods that are not told to end.
        ready: those of them that take calls.
        served: calls on workers (what a metric of live calls counts).
        waiting: callers without an agent.
        arrived: calls that ever arrived.
        slots: calls per worker.
        busy: calls of each ready pod.
        ready_ages_s: seconds since each ready pod became ready, in the order of `busy`.
        error: the metrics cannot be read.
    """

    replicas: int
    ready: int
    served: int
    waiting: int
    arrived: int
    slots: int
    busy: tuple[int, ...]
    ready_ages_s: tuple[float, ...]
    min_replicas: int
    max_replicas: int
    error: bool = False


class Policy(Protocol):
    """Another system's policy. Its docstring names the version and the source it was modelled after."""

    name: str
    every_s: float
    idle_only: bool
    """Only workers without a call are ever ended."""

    def decide(self, now_s: float, view: View) -> int | None: ...


class Baseline:
    """A policy at work in a cluster: a `Scaler` for the engine.

    Args:
        make: makes the policy anew, knowing nothing: after a change of leader too.
    """

    def __init__(self, make: Callable[[], Policy], world: World) -> None:
        self._make = make
        self._world = world
        self._policy = make()
        self.name = self._policy.name
        self.every_s = self._policy.every_s
        self._last: View | None = None

    def begin(self, cluster: Cluster, trace: Trace) -> None:
        self._policy = self._make()

    def tick(self, now_s: float, cluster: Cluster, seen: Metrics) -> None:
        view = self._last if seen.stale_s and self._last is not None else look(now_s, cluster, seen, self._world)
        self._last = view
        wanted = self._policy.decide(now_s, view)
        if wanted is None:
            return
        present = [p for p in cluster.pods if p.state < STOPPING]
        wanted = min(max(wanted, self._world.min_workers), self._world.max_workers)
        if wanted > len(present):
            cluster.tally.actions += 1
            cluster.add(now_s, wanted - len(present))
        elif wanted < len(present):
            victims = replica_set_order(present, idle_only=self._policy.idle_only)[: len(present) - wanted]
            cluster.tally.actions += bool(victims)
            for pod in victims:
                cluster.stop(now_s, pod)


def look(now_s: float, cluster: Cluster, seen: Metrics, world: World) -> View:
    """The view of this moment."""
    present = [p for p in cluster.pods if p.state < STOPPING]
    ready = [p for p in present if p.state == READY]
    return View(
        replicas=len(present),
        ready=len(ready),
        served=cluster.live,
        waiting=cluster.waiting,
        arrived=seen.arrived,
        slots=world.slots,
        busy=tuple([p.busy for p in ready]),
        ready_ages_s=tuple([now_s - p.ready_s for p in ready]),
        min_replicas=world.min_workers,
        max_replicas=world.max_workers,
        error=seen.missing,
    )


def replica_set_order(pods: list[Pod], *, idle_only: bool = False) -> list[Pod]:
    """Pods in the order in which a ReplicaSet deletes them.

    Source: kubernetes v1.34, pkg/controller/controller_utils.go, `ActivePodsWithRanks`: pending before running, not
    ready before ready, lower deletion cost, then the one that has been ready for less time.
    """
    if idle_only:
        pods = [p for p in pods if p.state == STARTING or not p.busy]
    return sorted(pods, key=lambda p: (p.state == READY, -p.ready_s if p.state == READY else -p.asked_s))
