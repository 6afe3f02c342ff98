"""A decision: how many workers a pool should have, and why."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

Inputs = dict[str, float | int | str | None]


class Reason(enum.StrEnum):
    """What the number of a decision comes from."""

    CALLS = "calls"
    """The calls there are, and the buffer."""
    HOLD = "hold"
    """A higher need in the hold time."""
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    """More is needed than is allowed: callers may have to wait."""
    UNKNOWN = "unknown"
    """A read failed: keep what there is."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a policy asks for, before any guardrail. `workers` is None when it cannot tell."""

    workers: int | None
    detail: str
    inputs: Inputs = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """Wanted: `desired` workers. `may_shrink` is False whenever anything behind it was unknown.

    Invariant: ``min_workers <= desired <= max_workers`` of the pool.
    """

    desired: int
    reason: Reason
    detail: str
    """One sentence with the numbers, for people."""
    inputs: Inputs = field(default_factory=dict)
    may_shrink: bool = True
    replace: tuple[str, ...] = ()
    """Workers that never got ready in time and are to be replaced."""
