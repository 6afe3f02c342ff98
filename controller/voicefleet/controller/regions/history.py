"""The last half hour of every region, for the page and `voicefleet status`: a point every 5 s, kept in RAM."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from voicefleet.contract.api import HistoryPoint
from voicefleet.contract.metrics.kinds import LATENCY_S
from voicefleet.contract.metrics.quantiles import bucket_quantile
from voicefleet.controller.regions.region import Region
from voicefleet.scaling import SupplyState

EVERY_S = 5.0
KEPT = 360
_TTFA_WINDOW_S = 60.0


@dataclass
class TtfaWindow:
    """TTFA over the last minute, from the counts by bucket that workers report since their start."""

    _before: dict[str, Sequence[int]] = field(default_factory=dict)
    _gains: deque[tuple[float, list[int]]] = field(default_factory=deque)

    def add(self, now_s: float, counts: Mapping[str, Sequence[int]]) -> None:
        """`counts` of each worker now. A worker that began anew counts from zero."""
        gained = [0] * (len(LATENCY_S) + 1)
        for worker, now in counts.items():
            if len(now) != len(gained):
                continue  # of a release with other buckets
            before = self._before.get(worker, [0] * len(now))
            fresh = any(n < b for n, b in zip(now, before, strict=True))
            for i, count in enumerate(now):
                gained[i] += count - (0 if fresh else before[i])
        self._before = dict(counts)
        self._gains.append((now_s, gained))
        while self._gains and self._gains[0][0] <= now_s - _TTFA_WINDOW_S:
            self._gains.popleft()

    def quantile(self, q: float) -> float | None:
        """None while no turn was answered."""
        sums = [sum(column) for column in zip(*(gain for _, gain in self._gains), strict=True)]
        return bucket_quantile(LATENCY_S, sums, q)


class History:
    """Of one region. `look` every `EVERY_S`."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._ttfa = TtfaWindow()
        self.points: deque[HistoryPoint] = deque(maxlen=KEPT)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await self._region.clock.sleep(EVERY_S)

    def look(self) -> None:
        """One point, of what is known now."""
        region = self._region
        snapshot, reports, observation = region.fresh_snapshot(), region.reports.fresh(), region.pool.observation
        if reports is not None:
            known = {name: r.report.ttfa for name, r in reports.items() if r.report.ttfa is not None}
            self._ttfa.add(region.clock.monotonic(), known)
        workers = observation.workers if observation is not None and reports is not None else None
        self.points.append(
            HistoryPoint(
                at=region.clock.wall().isoformat(timespec="seconds"),
                desired=region.pool.decision.desired if region.pool.decision else None,
                ready=None if workers is None else sum(w.state is SupplyState.READY for w in workers),
                live=snapshot.live if snapshot else None,
                waiting=snapshot.waiting if snapshot else None,
                silent=region.reports.silent,
                ttfa_p50_s=_rounded(self._ttfa.quantile(0.5)),
                ttfa_p95_s=_rounded(self._ttfa.quantile(0.95)),
            )
        )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
