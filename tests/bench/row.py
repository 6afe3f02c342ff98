"""One line of the result."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.health import Health
from bench.statistics import Estimate, verdict


@dataclass(frozen=True, slots=True)
class Row:
    """One claim, measured.

    Attributes:
        n: samples behind the figure.
        values: the figures themselves; the names carry units.
        ratio, interval: what is judged, and its 95 % bootstrap interval; null for a row without a bound.
        bound: `interval`'s upper end must not exceed it.
        verdict: met, missed or void.
        why: what made it void, or what to know to read it.
    """

    name: str
    n: int
    values: dict[str, Any]
    verdict: str
    command: str
    ratio: float | None = None
    interval: tuple[float | None, float | None] | None = None
    bound: float | None = None
    why: str = ""
    health: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def judged(
    name: str, n: int, values: dict[str, Any], ratio: Estimate, bound: float, health: Health, command: str, note: str
) -> Row:
    """A row whose ratio has a bound."""
    void = health.void()
    if not math.isfinite(ratio.hi):
        void.append("one block alone has no interval")
    return Row(
        name=name,
        n=n,
        values=values,
        ratio=round(ratio.value, 4),
        interval=(_finite(ratio.lo), _finite(ratio.hi)),
        bound=bound,
        verdict=verdict(ratio.hi, bound, void),
        why="; ".join(void) or note,
        health=health.to_json(),
        command=command,
    )


def failed(name: str, error: BaseException, command: str) -> Row:
    """A row that could not be measured at all."""
    return Row(name, 0, {}, "void", command, why=f"{type(error).__name__}: {error}")


def say(text: str) -> None:
    """Progress, on stderr: stdout is for the document."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
