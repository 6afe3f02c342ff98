"""A decision: how many workers a pool should have, and why."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from voicefleet.contract.decisions import DecisionInputs

_NOTHING = DecisionInputs()


class Reason(enum.StrEnum):
    """What the number of a decision comes from."""

    CALLS = "calls"
    """The calls there are and those to come, or the buffer."""
    SCALE_DOWN_DELAY = "scale_down_delay"
    """A higher need within the scale-down delay."""
    SCHEDULE = "schedule"
    """The pool's schedule asks for more."""
    LEADER = "leader"
    """A new leader keeps what it found until it has learned."""
    RATE = "rate"
    """Only so many at once."""
    OVERDUE = "overdue"
    """Workers that should be ready by now are not counted on."""
    UNSCHEDULABLE = "unschedulable"
    """There is no machine for more workers."""
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    """More is needed than is allowed: callers may have to wait."""
    UNKNOWN = "unknown"
    """A read failed: keep what there is."""
    PARTIAL = "partial"
    """Not all calls are known: it grows for those that are there for sure, and gives up nothing."""
    FIXED = "fixed"
    """The settings say how many."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a policy asks for, before any guardrail. `workers` is None when it cannot tell.

    `detail` is turned into text only when somebody reads it.
    """

    workers: int | None
    detail: object
    inputs: DecisionInputs = _NOTHING


@dataclass(frozen=True, slots=True)
class Decision:
    """Wanted: `desired` workers. `may_shrink` is False whenever anything behind it was unknown.

    Invariant: ``min_workers <= desired <= max_workers`` of the pool.
    """

    desired: int
    reason: Reason
    said: object
    inputs: DecisionInputs = _NOTHING
    may_shrink: bool = True
    starts: int | None = None
    """Most workers to start now; None: as many as are missing."""
    replace: tuple[str, ...] = ()
    """Workers that never got ready in time and are to be replaced."""
    notes: tuple[str, ...] = ()
    """What guardrails have to say."""

    @property
    def detail(self) -> str:
        """One sentence with the numbers, for people."""
        return "; ".join([str(self.said), *self.notes])
