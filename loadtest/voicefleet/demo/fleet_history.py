"""The fleet's state over time, as the controller reported it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from voicefleet.contract.api import RegionView


@dataclass(frozen=True, slots=True)
class Sample:
    """One region at one moment. Counts are None when they were unknown."""

    t_s: float
    starting: int | None
    ready: int | None
    draining: int | None
    slots: int | None
    live: int | None
    waiting: int | None
    desired: int | None


@dataclass(slots=True)
class History:
    """Samples by region, oldest first."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def add(self, t_s: float, regions: Iterable[RegionView]) -> None:
        for view in regions:
            self.samples.setdefault(view.region, []).append(
                Sample(
                    t_s,
                    view.starting,
                    view.ready,
                    view.draining,
                    view.slots,
                    view.live,
                    view.waiting,
                    view.desired_workers,
                )
            )

    def last(self, region: str) -> Sample | None:
        found = self.samples.get(region)
        return found[-1] if found else None

    def workers(self, region: str, since_s: float) -> tuple[int, int, int]:
        """Ready workers at `since_s` (when the first call came), at the peak after it, and at the end."""
        known = [(s.t_s, s.ready) for s in self.samples.get(region, []) if s.ready is not None]
        before = [ready for t, ready in known if t <= since_s]
        after = [ready for t, ready in known if t >= since_s]
        start = before[-1] if before else 0
        return start, max([start, *after]), after[-1] if after else start
