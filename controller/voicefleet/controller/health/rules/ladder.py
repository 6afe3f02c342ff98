"""The ladder of tiers: workers that answer on a lower tier than calls ask for, because they are short or late."""

from __future__ import annotations

from collections.abc import Iterator

from voicefleet.contract.health import Finding, HealthState
from voicefleet.controller.health.observation import HealthObservation
from voicefleet.scaling import SupplyState


def ladder(seen: HealthObservation, _: float) -> Iterator[Finding]:
    """Workers that have stepped down: callers are answered in time, with less quality."""
    if not seen.workers_known:
        return
    serving = [worker for worker in seen.workers if worker.state is SupplyState.READY]
    lower = sorted((w for w in serving if w.tier_level > 0), key=lambda w: -w.tier_level)
    if not lower:
        return
    worst = lower[0]
    steps = "one step" if worst.tier_level == 1 else f"{worst.tier_level} steps"
    yield Finding(
        "stepped_down",
        HealthState.DEGRADED,
        f"{len(lower)} of {len(serving)} workers answer on a lower tier than calls ask for: {worst.id}, {steps} down,"
        f" {worst.tier_why or 'it does not tell why'}",
        "For a burst do nothing: they step up again by themselves. If it lasts, give workers more CPU or fewer"
        " slots, or let the pool have more workers.",
    )
