"""What the last passes over one region's pool read and decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from voicefleet.contract.reports import STALE_AFTER_S
from voicefleet.controller.ports import Instance
from voicefleet.scaling import Decision, PoolObservation
from voicefleet.scaling.estimators import DurationEstimator

USUAL_CALL_S = DurationEstimator.prior().mean_s
DEPARTED_KEPT_S = 60.0


@dataclass(frozen=True, slots=True)
class KnownInstances:
    """What the fleet last told of. Only writer: `pool.reader`."""

    last: tuple[Instance, ...] = ()
    at_s: float | None = None
    """None while it never did."""

    def fresh(self, now_s: float) -> bool:
        return self.at_s is not None and now_s - self.at_s <= STALE_AFTER_S


@dataclass(frozen=True, slots=True)
class PoolView:
    """What the last pass observed and decided, and who ended. Only writer: `pool.reconciler`."""

    observation: PoolObservation | None = None
    decision: Decision | None = None
    mean_call_s: float = USUAL_CALL_S
    """How long calls last, as far as it was learned."""
    departed_at_s: Mapping[str, float] = field(default_factory=dict)
    """Worker that ended for sure -> when we heard of it."""

    def with_pass(self, observation: PoolObservation, decision: Decision, mean_call_s: float) -> PoolView:
        """The next pass."""
        return replace(self, observation=observation, decision=decision, mean_call_s=mean_call_s)

    def with_departed(self, worker: str, now_s: float) -> PoolView:
        """`worker` has ended."""
        kept = {name: self.departed_at_s[name] for name in self.departed(now_s)}
        return replace(self, departed_at_s={**kept, worker: now_s})

    def departed(self, now_s: float) -> frozenset[str]:
        """Workers that ended lately."""
        return frozenset(w for w, at_s in self.departed_at_s.items() if at_s >= now_s - DEPARTED_KEPT_S)
