"""Collects what a worker's ladder is decided by: its CPU, second by second, and the TTFA of its calls' turns. Pure."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable

from voicefleet.worker.ladder.decision import LadderRules, Pressure

TURNS_WINDOW_S = 30.0
LONGEST_GAP_S = 3.0
"""Between two readings of the CPU; after a longer one (the process stood still) nobody knows what was."""


class PressureWindow:
    """Readings and turns of the last moments. Times are monotonic seconds, handed in."""

    def __init__(self, rules: LadderRules) -> None:
        self._rules = rules
        self._cpu: deque[tuple[float, float | None]] = deque()
        self._turns: deque[tuple[float, float]] = deque()

    def cpu(self, now_s: float, ratio: float | None) -> None:
        """A reading of the CPU; None: it failed."""
        self._cpu.append((now_s, ratio))
        while self._cpu and self._cpu[0][0] < now_s - self._rules.up_after_s - 2 * LONGEST_GAP_S:
            self._cpu.popleft()

    def turn(self, now_s: float, ttfa_s: float) -> None:
        """A turn of a call whose tier is on the ladder was answered."""
        self._turns.append((now_s, ttfa_s))
        while self._turns and self._turns[0][0] < now_s - TURNS_WINDOW_S:
            self._turns.popleft()

    def seen(self, now_s: float, since_s: float, calls: int = 0) -> Pressure:
        """What there was since `since_s`, the last step, and the calls at once now. Turns that were under way at that
        step do not count: they were served by the step before."""
        rules = self._rules
        from_s = max(now_s - TURNS_WINDOW_S, since_s + rules.down_after_s)
        turns = [ttfa_s for at_s, ttfa_s in self._turns if at_s >= from_s]
        return Pressure(
            cpu_now=self._mean(now_s, rules.down_after_s, since_s),
            cpu_long=self._mean(now_s, rules.up_after_s, since_s),
            turns=len(turns),
            late=sum(ttfa_s > rules.ttfa_s for ttfa_s in turns),
            calls=calls,
        )

    def _mean(self, now_s: float, over_s: float, since_s: float) -> float | None:
        """None: a reading failed, or the time was not watched from end to end."""
        from_s = now_s - over_s
        if from_s < since_s:
            return None
        found = [(at_s, ratio) for at_s, ratio in self._cpu if at_s >= from_s]
        if not _without_gap([from_s, *(at_s for at_s, _ in found), now_s]):
            return None
        known = [ratio for _, ratio in found if ratio is not None]
        return sum(known) / len(known) if known and len(known) == len(found) else None


def _without_gap(times_s: Iterable[float]) -> bool:
    moments = list(times_s)
    return all(later - earlier <= LONGEST_GAP_S for earlier, later in itertools.pairwise(moments))
