"""Bounds: never below the pool's minimum, never above its maximum."""

from __future__ import annotations

from voicefleet.contract.pools import PoolSpec
from voicefleet.scaling.decision import Reason


def bound(wanted: int, spec: PoolSpec) -> tuple[int, Reason | None]:
    """`wanted` within the pool's bounds, and which bound changed it, if one did."""
    if wanted < spec.min_workers:
        return spec.min_workers, Reason.MINIMUM
    if wanted > spec.max_workers:
        return spec.max_workers, Reason.MAXIMUM
    return wanted, None
