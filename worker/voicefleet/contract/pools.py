"""A pool: the workers that serve one version of one agent in a region, and the bounds they are scaled within."""

from __future__ import annotations

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolPlace:
    """Where a pool belongs. A region without `agents` is one pool, with the region's own name."""

    region: str
    agent: str = ""
    """Empty: the region has no `agents`."""
    version: str = ""
    """Empty: the agent has no `versions`."""

    @property
    def pool(self) -> str:
        """The pool's name: in Redis' keys, metrics, logs and commands, wherever a region's name stands."""
        return "-".join(filter(None, (self.region, self.agent, self.version)))

    @property
    def agent_name(self) -> str:
        """The name that LiveKit's dispatches ask for; empty: the region's own."""
        return "-".join(filter(None, (self.agent, self.version)))


class PoolRole(enum.StrEnum):
    """What a pool is to its agent."""

    STABLE = "stable"
    """It serves the agent's calls; the only pool of an agent without versions, and of a region without agents, too."""
    CANARY = "canary"
    """It is tried out with a share of the calls."""
    LEAVING = "leaving"
    """Its weight is 0: it gets no new call, and keeps those that it has."""


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
