"""What is known of one pool at one moment. Unknown is None, or state `UNKNOWN`; it is never zero."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from voicefleet.contract.pools import PoolSpec

Vector = NDArray[np.float64]

LOST_AFTER_S = 30.0
"""A worker silent for longer no longer counts as supply; it still counts as an instance, and is never stopped."""


class SupplyState(enum.StrEnum):
    """A worker as the scaler sees it."""

    STARTING = "starting"
    """Started, and has not said that it is ready."""
    READY = "ready"
    DRAINING = "draining"
    """Takes no new call, and may be told to take calls again."""
    STOPPING = "stopping"
    """Told to end; there is no way back."""
    UNKNOWN = "unknown"
    """Said something once, and nothing lately."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker of the pool."""

    id: str
    state: SupplyState
    slots: int
    live: int
    """Calls in progress, as far as it last said."""
    accepting: int = 0
    """Calls accepted whose job has not started."""
    age_s: float = 0.0
    """Since its process or pod began."""
    silent_s: float = 0.0
    """Since its last report; its age if it never reported."""
    cordoned: bool = False
    """The order that stands for it is to take no calls."""
    order_seen: bool = False
    """It has carried out the order that stands."""
    stuck: bool = False
    """It starts, and waits for machines or a quota: a replacement would have to wait as well."""
    order_lost: bool = False
    """It drains by an order that stands nowhere any more: Redis lost it."""
    end_requested: bool = False
    """Somebody requested that it drains and ends, and it has not been told yet."""

    busy: int = field(init=False, compare=False)
    """Slots taken."""
    lost: bool = field(init=False, compare=False)
    """Silent for so long that its slots cannot be counted on."""
    supply: bool = field(init=False, compare=False)
    """Whether its slots serve calls, now or soon; so do those of a worker told to come back that has not yet."""
    serving: bool = field(init=False, compare=False)
    """Ready, and nothing else is to be said of it: what most workers are, most of the time."""

    def __post_init__(self) -> None:
        # Worked out once: a tick asks many times, of every worker.
        put = object.__setattr__
        state = self.state
        lost = state is SupplyState.UNKNOWN and self.silent_s > LOST_AFTER_S
        coming_back = state is SupplyState.DRAINING and not self.order_seen
        put(self, "busy", self.live + self.accepting)
        put(self, "lost", lost)
        put(self, "supply", not self.cordoned and not lost and (state in _SUPPLY or coming_back))
        put(self, "serving", state is SupplyState.READY and not self.cordoned)

    @property
    def idle_for_sure(self) -> bool:
        """It said itself, after it obeyed the order to take no calls, that it has none left."""
        return self.state is SupplyState.DRAINING and self.cordoned and self.order_seen and self.busy == 0


_SUPPLY = frozenset({SupplyState.STARTING, SupplyState.READY, SupplyState.UNKNOWN})


@dataclass(frozen=True, slots=True)
class SureCalls:
    """Calls that are there for sure, though there may be more: those in Redis while nobody knows all rooms."""

    live: int
    waiting: int
    joining: int

    @property
    def total(self) -> int:
        return self.live + self.waiting + self.joining


@dataclass(frozen=True, slots=True)
class Campaign:
    """An announced rise of the rate of calls; times on the observation's clock."""

    start_s: float
    end_s: float
    rate: float
    """Additional calls per second."""


@dataclass(frozen=True, slots=True)
class PoolObservation:
    """A frozen snapshot of a pool.

    Args:
        now_s: when, on a clock that never jumps.
        workers: every worker there is, or the last known ones when `complete` is False.
        calls_live: calls with a claim, or held by a worker; None: unknown.
        calls_waiting: callers without an agent for longer than the grace; None: unknown.
        calls_joining: callers that just joined; None: unknown.
        sure: a lower bound of the calls for when they are not known: enough to grow by, never to shrink. None: not even
            that is known.
        complete: every source answered, and lately. A decision to shrink needs this.
        managed: False when somebody else runs the workers: then none is started, cordoned or replaced.
        start_timeout_s: a worker that starts for longer is overdue.
        arrived: calls that ever arrived, as far as this process saw; None: unknown.
        ages_s: ages of the live calls, in no order; None: unknown. May be shorter than `calls_live`: the rest is new.
        ended_s: durations of the calls that ended since the last observation.
        started_s: start times, from the order to registered, of workers that got ready since the last observation.
        campaigns: announced rises of the rate.
        floor: least number of workers by the pool's schedule, now or when a worker asked for now is ready.
        can_register: False while a worker started now could not become one of the pool: Redis is away.
        settled: False while somebody replaces the workers by newer ones: there may be more than asked for meanwhile,
            which is no reason to shrink.
    """

    spec: PoolSpec
    now_s: float
    workers: tuple[Worker, ...]
    calls_live: int | None
    calls_waiting: int | None
    calls_joining: int | None
    complete: bool
    start_timeout_s: float = 120.0
    settled: bool = True
    managed: bool = True
    arrived: int | None = None
    ages_s: Vector | None = field(default=None, compare=False)
    ended_s: tuple[float, ...] = ()
    started_s: tuple[float, ...] = ()
    campaigns: tuple[Campaign, ...] = ()
    floor: int = 0
    sure: SureCalls | None = None
    can_register: bool = True

    @property
    def calls(self) -> int | None:
        """All callers there are, or None when any part of the count is unknown."""
        if self.calls_live is None or self.calls_waiting is None or self.calls_joining is None:
            return None
        return self.calls_live + self.calls_waiting + self.calls_joining

    @property
    def least_calls(self) -> int | None:
        """All callers there are, or those that are there for sure; None when nothing is known of them."""
        calls = self.calls
        return calls if calls is not None or self.sure is None else self.sure.total

    @property
    def partial(self) -> bool:
        """Only a lower bound of the calls is known."""
        return self.sure is not None and self.calls is None

    supply: int = field(init=False, compare=False)
    """Workers whose slots serve calls, now or soon."""
    others: tuple[Worker, ...] = field(init=False, compare=False)
    """Workers that are not simply `serving`: few, and all that most guardrails look at."""

    def __post_init__(self) -> None:
        others = tuple([w for w in self.workers if not w.serving])
        object.__setattr__(self, "others", others)
        object.__setattr__(self, "supply", len(self.workers) - len(others) + sum([w.supply for w in others]))

    @property
    def overdue(self) -> tuple[Worker, ...]:
        """Workers that should have been ready by now, the oldest first."""
        late = [
            w for w in self.others if w.state is SupplyState.STARTING and not w.stuck and w.age_s > self.start_timeout_s
        ]
        return tuple(sorted(late, key=lambda w: (-w.age_s, w.id)))
