"""Turns and provider failures of the last minutes, from the counts that workers report since their start."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

KEPT_S = 300.0

Counts = Mapping[str, int]


class TurnRates:
    """What was gained of each count lately, over all workers of a region. Only writer: `health.watch`."""

    def __init__(self) -> None:
        self._before: dict[str, Counts] | None = None
        self._gains: deque[tuple[float, Counter[str]]] = deque()

    def add(self, now_s: float, counts: Mapping[str, Counts]) -> None:
        """`counts` of each worker now. A worker that began anew counts from zero; of the first look, which may be after
        a restart of ours, nothing is gained."""
        before, self._before = self._before, dict(counts)
        if before is None:
            return
        gained: Counter[str] = Counter()
        for worker, now in counts.items():
            last = before.get(worker, {})
            fresh = any(now.get(name, 0) < count for name, count in last.items())
            for name, count in now.items():
                gained[name] += count - (0 if fresh else last.get(name, 0))
        if +gained:
            self._gains.append((now_s, +gained))
        while self._gains and self._gains[0][0] <= now_s - KEPT_S:
            self._gains.popleft()

    @property
    def known(self) -> bool:
        """Whether any worker tells."""
        return bool(self._before)

    def within(self, now_s: float, window_s: float) -> Counter[str]:
        """What was gained within the last `window_s`, at most `KEPT_S`."""
        total: Counter[str] = Counter()
        for at_s, gained in reversed(self._gains):
            if at_s <= now_s - window_s:
                break
            total += gained
        return total
