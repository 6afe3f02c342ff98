"""What is known of one pool at one moment. Unknown is None, or state `UNKNOWN`; it is never zero."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from voicefleet.contract.pools import PoolSpec

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

    @property
    def busy(self) -> int:
        return self.live + self.accepting

    @property
    def lost(self) -> bool:
        """Silent for so long that its slots cannot be counted on."""
        return self.state is SupplyState.UNKNOWN and self.silent_s > LOST_AFTER_S

    @property
    def supply(self) -> bool:
        """Whether its slots serve calls, now or soon; so do those of a worker told to come back that has not yet."""
        coming_back = self.state is SupplyState.DRAINING and not self.order_seen
        return not self.cordoned and not self.lost and (self.state in _SUPPLY or coming_back)

    @property
    def idle_for_sure(self) -> bool:
        """It said itself, after it obeyed the order to take no calls, that it has none left."""
        return self.state is SupplyState.DRAINING and self.cordoned and self.order_seen and self.busy == 0


_SUPPLY = frozenset({SupplyState.STARTING, SupplyState.READY, SupplyState.UNKNOWN})


@dataclass(frozen=True, slots=True)
class PoolObservation:
    """A frozen snapshot of a pool.

    Args:
        now_s: when, on a clock that never jumps.
        workers: every worker there is, or the last known ones when `complete` is False.
        calls_live: calls with a claim, or held by a worker; None: unknown.
        calls_waiting: callers without an agent for longer than the grace; None: unknown.
        calls_joining: callers that just joined; None: unknown.
        complete: every source answered, and lately. A decision to shrink needs this.
        start_timeout_s: a worker that starts for longer is overdue.
    """

    spec: PoolSpec
    now_s: float
    workers: tuple[Worker, ...]
    calls_live: int | None
    calls_waiting: int | None
    calls_joining: int | None
    complete: bool
    start_timeout_s: float = 120.0

    @property
    def calls(self) -> int | None:
        """All callers there are, or None when any part of the count is unknown."""
        if self.calls_live is None or self.calls_waiting is None or self.calls_joining is None:
            return None
        return self.calls_live + self.calls_waiting + self.calls_joining

    @property
    def supply(self) -> int:
        """Workers whose slots serve calls, now or soon."""
        return sum(w.supply for w in self.workers)

    @property
    def overdue(self) -> tuple[Worker, ...]:
        """Workers that should have been ready by now, the oldest first."""
        late = [w for w in self.workers if w.state is SupplyState.STARTING and w.age_s > self.start_timeout_s]
        return tuple(sorted(late, key=lambda w: (-w.age_s, w.id)))
