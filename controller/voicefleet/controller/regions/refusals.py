"""Callers of the last minutes who were refused a call, and those who got a ticket. Of this replica alone."""

from __future__ import annotations

from collections import Counter, deque

from voicefleet.runtime.clock import Clock

KEPT_S = 300.0

REFUSED = (503, 429)
"""Statuses of `POST /v1/calls` that keep a caller from a call, though nothing is wrong with the request."""


class Refusals:
    """Answers to requests for calls in one region, by status and second. Only writer: `http`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds: deque[tuple[int, Counter[int]]] = deque()

    def note_answer(self, status: int) -> None:
        """A request for a call was answered with `status`."""
        second = int(self._clock.monotonic())
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, Counter()))
            while self._seconds[0][0] < second - KEPT_S:
                self._seconds.popleft()
        self._seconds[-1][1][status] += 1

    def within(self, window_s: float) -> Counter[int]:
        """Status -> answers within the last `window_s`, at most `KEPT_S`."""
        oldest_s = self._clock.monotonic() - window_s
        total: Counter[int] = Counter()
        for second, counts in reversed(self._seconds):
            if second < oldest_s:
                break
            total += counts
        return total
