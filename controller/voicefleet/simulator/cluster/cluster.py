"""A cluster's workers and their calls: starts, dispatch, drains, handoffs, ends. No policy in here.

Invariants:
    - a call is on exactly one worker, waits, is over, was lost or was killed;
    - `free` is the number of free slots of the workers that take calls, `live` the number of calls on workers;
    - a call is cut only by `_kill` (the end of a worker's grace).
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable

import numpy as np

from voicefleet.simulator.cluster.dispatch import choose
from voicefleet.simulator.cluster.live_calls import LiveCalls
from voicefleet.simulator.cluster.pods import GONE, READY, STARTING, STOPPING, Pod, Tally
from voicefleet.simulator.world import FaultKind, World

_RETRY_S = 1.0
_CHUNK = 4096


class Cluster:
    """The workers of one pool.

    Args:
        durations: seconds of each call, by its number.
        luck: one uniform number per call: which worker it goes to.
        patience: seconds each caller waits for an agent, by its number.
    """

    def __init__(self, world: World, durations: list[float], luck: list[float], patience: list[float]) -> None:
        self.world = world
        self.durations = durations
        self._luck = luck
        self._patience = patience
        self.tally = Tally()
        self.pods: list[Pod] = []
        self.open: list[Pod] = []
        """Workers that take calls."""
        self.free = 0
        self._live = LiveCalls()
        self.queue: deque[tuple[int, float]] = deque()
        self._gave_up: set[int] = set()
        self.pod_of: list[Pod | None] = [None] * len(durations)
        self.ends: list[tuple[float, int]] = []
        self.events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._serial = 0
        self._ordinal = 0
        self._starts = world.start_times(_CHUNK)
        self._moves = np.random.default_rng([world.seed, 3]).exponential(1.0, _CHUNK).tolist()
        self.started_times: list[float] = []
        """Start times of workers that got ready, not read yet."""
        self.ended_durations: list[float] = []
        """Durations of calls that ended, not read yet."""

    # ---- time

    def at(self, when_s: float, what: Callable[..., None], *args: object) -> None:
        """Have ``what(now_s, *args)`` called at `when_s`."""
        self._serial += 1
        heapq.heappush(self.events, (when_s, self._serial, what, args))

    @property
    def live(self) -> int:
        """Calls on workers."""
        return self._live.count

    @property
    def began(self) -> np.ndarray:
        """Times at which the live calls began, in no order: a view, to be read at once."""
        return self._live.began_s

    @property
    def waiting(self) -> int:
        return len(self.queue) - len(self._gave_up)

    # ---- workers

    def prime(self, count: int) -> None:
        """`count` workers that are ready at time 0."""
        for _ in range(count):
            pod = self._new(0.0)
            pod.asked_s = 0.0
            self._ready(0.0, pod, None)

    def add(self, now_s: float, count: int) -> None:
        """Ask for `count` workers."""
        for _ in range(count):
            pod = self._new(now_s)
            start_s = self._start_s(pod.ordinal)
            for fault in self.world.faults:
                if not fault.at_s <= now_s < fault.at_s + fault.for_s:
                    continue
                if fault.kind is FaultKind.SLOW_STARTS:
                    start_s *= fault.factor
                elif fault.kind is FaultKind.CRASH_LOOP:
                    start_s = math.inf
                elif fault.kind is FaultKind.LOST_REGION:
                    start_s += fault.at_s + fault.for_s - now_s
            if start_s < math.inf:
                self.at(now_s + start_s, self._ready, pod, start_s)

    def _new(self, now_s: float) -> Pod:
        pod = Pod(self._ordinal, now_s)
        self._ordinal += 1
        self.pods.append(pod)
        return pod

    def _start_s(self, ordinal: int) -> float:
        while ordinal >= len(self._starts):
            self._starts = self.world.start_times(2 * len(self._starts))
        return self._starts[ordinal]

    def _ready(self, now_s: float, pod: Pod, start_s: float | None) -> None:
        if pod.state != STARTING:
            return
        pod.state = READY
        pod.ready_s = now_s
        pod.cached.clear()
        if start_s is not None:
            self.started_times.append(start_s)
        if not pod.cordoned:
            self._open(now_s, pod)

    def _open(self, now_s: float, pod: Pod) -> None:
        self.open.append(pod)
        self.free += self.world.slots - pod.busy
        if self.queue:
            self._serve(now_s)

    def _shut(self, pod: Pod) -> None:
        if pod in self.open:
            self.open.remove(pod)
            self.free -= self.world.slots - pod.busy

    def cordon(self, now_s: float, pod: Pod) -> None:
        """No new calls; with handoff its calls move to others."""
        pod.cordoned = True
        pod.cached.clear()
        pod.order_seen_s = now_s + self.world.order_s
        pod.drain_s = min(pod.drain_s, now_s)
        # The order takes a moment to arrive; until then LiveKit still sends calls, as it does in life.
        self.at(pod.order_seen_s, self._cordoned, pod)

    def _cordoned(self, now_s: float, pod: Pod) -> None:
        if not pod.cordoned or pod.state != READY:
            return
        pod.cached.clear()
        self._shut(pod)
        if self.world.handoff:
            self._move_all(now_s, pod)

    def uncordon(self, now_s: float, pod: Pod) -> None:
        """Take calls again."""
        pod.cordoned = False
        pod.cached.clear()
        pod.order_seen_s = now_s + self.world.order_s
        if pod.drain_s < math.inf:
            self.tally.drain_s += now_s - pod.drain_s
            pod.drain_s = math.inf
        self.at(pod.order_seen_s, self._uncordoned, pod)

    def _uncordoned(self, now_s: float, pod: Pod) -> None:
        pod.cached.clear()
        if not pod.cordoned and pod.state == READY and pod not in self.open:
            self._open(now_s, pod)

    def stop(self, now_s: float, pod: Pod) -> None:
        """SIGTERM: no new calls from now on, the end when the last one is over, a kill at the end of the grace."""
        if pod.state >= STOPPING:
            return
        self._shut(pod)
        pod.state = STOPPING
        pod.stop_s = now_s
        pod.drain_s = min(pod.drain_s, now_s)
        pod.cached.clear()
        if not pod.busy:
            self.at(now_s + self.world.stop_s, self._gone, pod)
            return
        self.at(now_s + self.world.grace_s, self._kill, pod)
        if self.world.handoff:
            self._move_all(now_s, pod)

    def _kill(self, now_s: float, pod: Pod) -> None:
        if pod.state == GONE:
            return
        for call in list(pod.calls):
            self._leave(call, pod)
            self.tally.killed += 1
        self._gone(now_s, pod)

    def _gone(self, now_s: float, pod: Pod) -> None:
        if pod.state == GONE:
            return
        pod.state = GONE
        self.pods.remove(pod)
        self._pay(now_s, pod)

    def _pay(self, now_s: float, pod: Pod) -> None:
        self.tally.worker_s += now_s - pod.asked_s
        if pod.drain_s < math.inf:
            self.tally.drain_s += now_s - pod.drain_s

    def close(self, now_s: float) -> None:
        """The end of the world: pay for the workers that are still there."""
        for pod in self.pods:
            self._pay(now_s, pod)

    def lose_all(self, now_s: float) -> None:
        """Every worker is gone at once; callers stay, and wait."""
        for pod in list(self.pods):
            calls = sorted(pod.calls)
            self._shut(pod)
            for call in calls:
                self._leave(call, pod)
            self._gone(now_s, pod)
            for call in calls:
                self._wait(now_s, call)

    # ---- calls

    def arrive(self, now_s: float, call: int) -> None:
        """A caller joins."""
        if self.free > 0:
            self._begin(now_s, call, self._choose(now_s, call))
        else:
            self._wait(now_s, call)

    def _wait(self, now_s: float, call: int) -> None:
        self.queue.append((call, now_s))
        self.at(now_s + self.world.repair_s, self._serve)
        self.at(now_s + self._patience[call], self._give_up, call, now_s)

    def _give_up(self, now_s: float, call: int, since_s: float) -> None:
        if self.pod_of[call] is None and (call, since_s) in self.queue:
            self._gave_up.add(call)
            while self.queue and self.queue[0][0] in self._gave_up:
                self._gave_up.discard(self.queue.popleft()[0])
            self.tally.lost += 1
            self.tally.waits_s.append(now_s - since_s)

    def _serve(self, now_s: float) -> None:
        """Serve the queue, the longest wait first, as far as slots are free."""
        while self.queue:
            call, since_s = self.queue[0]
            if call in self._gave_up:
                self._gave_up.discard(call)
                self.queue.popleft()
                continue
            if self.free <= 0 or now_s < since_s + self.world.repair_s - 1e-9:
                return
            self.queue.popleft()
            if now_s - since_s > self.world.wait_counts_s:
                self.tally.waits_s.append(now_s - since_s)
            self._begin(now_s, call, self._choose(now_s, call))

    def _choose(self, now_s: float, call: int) -> Pod:
        return choose(self.open, now_s, self._luck[call], slots=self.world.slots, packing=self.world.packing)

    def _begin(self, now_s: float, call: int, pod: Pod) -> None:
        pod.busy += 1
        pod.calls.add(call)
        self.free -= 1
        self.pod_of[call] = pod
        self._live.add(call, now_s)
        heapq.heappush(self.ends, (now_s + self.durations[call], call))

    def _leave(self, call: int, pod: Pod) -> None:
        """Take a call off its worker, without freeing a slot for others."""
        pod.calls.discard(call)
        pod.busy -= 1
        self.pod_of[call] = None
        self._live.remove(call)

    def end(self, now_s: float, call: int) -> None:
        """A call is over, if it was not cut before."""
        pod = self.pod_of[call]
        if pod is None:
            return
        self._leave(call, pod)
        self.ended_durations.append(self.durations[call])
        self._freed(now_s, pod)

    def _freed(self, now_s: float, pod: Pod) -> None:
        if pod.state == READY and pod in self.open:
            self.free += 1
            if self.queue:
                self._serve(now_s)
        elif pod.state == STOPPING and not pod.busy:
            self.at(now_s + self.world.stop_s, self._gone, pod)

    # ---- handoff

    def _move_all(self, now_s: float, pod: Pod) -> None:
        for call in sorted(pod.calls):
            self._move(now_s, call, pod)

    def _move(self, now_s: float, call: int, pod: Pod) -> None:
        """Begin to hand a call over, once there is a slot that nobody waits for."""
        leaving = pod.state == STOPPING or (pod.state == READY and pod.cordoned)
        if self.pod_of[call] is not pod or not leaving:
            return
        if self.free <= len(self.queue):
            self.at(now_s + _RETRY_S, self._move, call, pod)
            return
        target = self._choose(now_s, call)
        target.busy += 1
        self.free -= 1
        self.tally.handoffs += 1
        delay_s = self.world.handoff_s * self._moves[self.tally.handoffs % _CHUNK]
        self.at(now_s + delay_s, self._moved, call, pod, target)

    def _moved(self, now_s: float, call: int, pod: Pod, target: Pod) -> None:
        alive = self.pod_of[call] is pod and target.state in (READY, STOPPING)
        if not alive:
            target.busy -= 1
            if target.state != GONE:
                self._freed(now_s, target)
            self._move(now_s, call, pod)
            return
        pod.calls.discard(call)
        pod.busy -= 1
        target.calls.add(call)
        self.pod_of[call] = target
        # What drains itself meanwhile hands it on.
        if target.state == STOPPING or target.cordoned:
            self._move(now_s, call, target)
        self._freed(now_s, pod)
