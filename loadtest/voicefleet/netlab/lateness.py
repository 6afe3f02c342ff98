"""How late the link is against its own plan: a histogram in steps of 10 microseconds. Pure."""

from __future__ import annotations

_STEP_S = 10e-6
_STEPS = 10_000
"""Up to 100 ms; what is later counts as that, and stands in `max_ms`."""


class Lateness:
    """How much later than due things were done."""

    def __init__(self) -> None:
        self._counts = [0] * (_STEPS + 1)
        self._total = 0
        self._max_s = 0.0

    def add(self, late_s: float) -> None:
        """One more."""
        self._counts[min(_STEPS, max(0, int(late_s / _STEP_S)))] += 1
        self._total += 1
        self._max_s = max(self._max_s, late_s)

    def quantile_ms(self, q: float) -> float | None:
        """The upper edge of the step that holds the quantile; None before anything was done."""
        if not self._total:
            return None
        rank, seen = q * self._total, 0
        for step, count in enumerate(self._counts):
            seen += count
            if count and seen >= rank:
                return (step + 1) * _STEP_S * 1000
        return self._max_s * 1000

    def to_json(self) -> dict[str, float | int | None]:
        """Count, median, p99 and the worst."""
        return {
            "count": self._total,
            "p50_ms": self.quantile_ms(0.5),
            "p99_ms": self.quantile_ms(0.99),
            "max_ms": round(self._max_s * 1000, 3) if self._total else None,
        }
