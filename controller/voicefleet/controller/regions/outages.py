"""How long Redis has been reachable or unreachable for this controller. Pure: times are arguments, in seconds."""

from __future__ import annotations

from dataclasses import dataclass

STALLED_AFTER_S = 1.5
"""Longer between two looks: this process itself stood still, and what it sees now may be old."""

SETTLED_AFTER_S = 3.0
"""By then every job that lives has renewed its claim, and listens again."""


@dataclass(slots=True)
class Outages:
    """Looks at Redis, good and bad. Only writer: `regions.call_scans`."""

    _well_since_s: float | None = None
    _away_since_s: float | None = None
    _looked_s: float | None = None

    def well(self, now_s: float) -> None:
        """Redis answered. After an outage, or a standstill of ours, what is seen has to settle first."""
        stalled = self._looked_s is None or now_s - self._looked_s > STALLED_AFTER_S
        if self._well_since_s is None or stalled:
            self._well_since_s = now_s
        self._looked_s, self._away_since_s = now_s, None

    def away(self, asked_s: float, now_s: float) -> None:
        """Redis did not answer what it was asked at `asked_s`."""
        self._looked_s, self._well_since_s = now_s, None
        if self._away_since_s is None:
            self._away_since_s = asked_s

    def restarted(self, now_s: float) -> None:
        """Redis answers, and is another one than before."""
        self._well_since_s = now_s

    def well_for_s(self, now_s: float) -> float:
        """0.0 while it is away."""
        return 0.0 if self._well_since_s is None else now_s - self._well_since_s

    def away_for_s(self, now_s: float) -> float:
        """0.0 while it is well."""
        return 0.0 if self._away_since_s is None else now_s - self._away_since_s

    def settled(self, now_s: float) -> bool:
        """Whether what Redis shows can be taken for what is."""
        return self.well_for_s(now_s) >= SETTLED_AFTER_S
