"""The world that all policies share: what a worker is, how it starts and ends, and what goes wrong."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import numpy as np

from voicefleet.contract.errors import ConfigError


class FaultKind(enum.StrEnum):
    """What goes wrong between `at_s` and `at_s + for_s`."""

    STALE = "stale"
    """Metrics freeze: the scaler reads the last values before the fault, and can tell that they are old."""
    MISSING = "missing"
    """The count of calls cannot be read; workers can."""
    SLOW_STARTS = "slow-starts"
    """Workers asked for take `factor` times as long to start."""
    CRASH_LOOP = "crash-loop"
    """Workers asked for never get ready."""
    LEADER_CHANGE = "leader-change"
    """No scaler runs; the one after it knows nothing of before."""
    LOST_REGION = "lost-region"
    """Every worker is gone at `at_s`; their calls wait for another. New ones can be started once it is over."""


@dataclass(frozen=True, slots=True)
class Fault:
    kind: FaultKind
    at_s: float
    for_s: float
    factor: float = 4.0


@dataclass(frozen=True, slots=True)
class World:
    """Parameters of the world. Times in seconds."""

    slots: int = 10
    """Calls a worker serves at once (K)."""
    start_p50_s: float = 35.0
    """Median time from asking for a worker to its registration with LiveKit."""
    start_sigma: float = 0.25
    """Sigma of the lognormal law of start times: 0.25 puts the 95th percentile at 1.5 times the median."""
    min_workers: int = 1
    max_workers: int = 10_000
    initial_workers: int | None = None
    """Workers ready at the start; None: enough for the calls of the first three start times, and one."""
    handoff: bool = True
    """A worker that drains hands its calls to others; else it waits for their end."""
    handoff_s: float = 3.0
    """Mean time until a call has moved; it holds a slot in both workers meanwhile."""
    order_s: float = 1.0
    """Until a worker has carried out an order, and has said so."""
    stop_s: float = 2.0
    """From an idle worker's order to end to its end."""
    grace_s: float = 3_600.0
    """A worker told to end is killed after this, with the calls it still has."""
    repair_s: float = 1.2
    """A caller who found every slot taken is offered one again after this (LiveKit itself forgets the call)."""
    wait_counts_s: float = 1.0
    """A call counts as waited when it had no agent for longer."""
    patience_s: float = 60.0
    """Mean of the exponential time after which a waiting caller hangs up."""
    packing: bool = False
    """Dispatch to the fullest worker with room. LiveKit draws at random, weighted by 1 - load."""
    faults: tuple[Fault, ...] = field(default=())
    seed: int = 1

    def __post_init__(self) -> None:
        positive = ("slots", "start_p50_s", "patience_s", "max_workers", "handoff_s")
        not_negative = ("start_sigma", "min_workers", "order_s", "stop_s", "grace_s", "repair_s")
        for name in (*positive, *not_negative):
            value = getattr(self, name)
            if not value >= 0 or (name in positive and value == 0):
                least = "above 0" if name in positive else "at least 0"
                raise ConfigError(f"must be {least}", field=name, value=value, hint=f"Give a number {least}.")
        if self.min_workers > self.max_workers:
            raise ConfigError(
                f"more than max_workers ({self.max_workers})",
                field="min_workers",
                value=self.min_workers,
                hint="Lower it, or raise max_workers.",
            )

    def start_times(self, count: int) -> list[float]:
        """The start times of the first `count` workers, in seconds, by ordinal: the same for every policy."""
        rng = np.random.default_rng([self.seed, 2])
        draws = self.start_p50_s * np.exp(self.start_sigma * rng.standard_normal(count))
        return [float(d) for d in draws]
