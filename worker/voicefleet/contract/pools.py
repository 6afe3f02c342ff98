"""A pool: the workers of one region, and the bounds they are scaled within."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """What the platform team asks of one region's pool.

    Invariant: ``0 <= min_workers <= max_workers``, ``slots >= 1``, ``buffer >= 0``, ``scale_down_delay_s >= 0``;
    the settings that build it check this and name the field.
    """

    region: str
    min_workers: int
    max_workers: int
    slots: int
    """Calls one worker serves at once."""
    buffer: int
    """Free slots to keep ready beyond the calls there are."""
    scale_down_delay_s: float
    """Scale down only to the highest need of this last time (buffer). The predictive policy waits by its forecast."""
    policy: str = "buffer"
    """Name of the scaling policy: predictive, buffer or fixed."""
    wait_ratio: float = 0.001
    """Share of calls that may find every slot taken (predictive)."""
    fixed: int = 0
    """Workers to have, whatever the calls are (fixed)."""
    act: bool = True
    """False: decide and show it, and change nothing (mode shadow)."""
