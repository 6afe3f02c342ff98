"""Callers of the last minutes who were refused a call, and those who got a ticket. Of this replica alone."""

from __future__ import annotations

from collections import Counter, deque

from voicefleet.runtime.clock import Clock

KEPT_S = 300.0

REFUSED = ("full", "limited", "unavailable", "failed")
"""Results of `POST /v1/calls` that keep a caller from a call, though nothing is wrong with the request; named as in the
metric `voicefleet_call_requests`."""
PLACED = ("ticket", "dialled")


class Refusals:
    """What became of requests for calls in one region, by result and second. Only writer: `http`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds: deque[tuple[int, Counter[str]]] = deque()

    def note(self, result: str) -> None:
        """A request for a call was answered so."""
        second = int(self._clock.monotonic())
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, Counter()))
            while self._seconds[0][0] < second - KEPT_S:
                self._seconds.popleft()
        self._seconds[-1][1][result] += 1

    def within(self, window_s: float) -> Counter[str]:
        """Result -> answers within the last `window_s`, at most `KEPT_S`."""
        oldest_s = self._clock.monotonic() - window_s
        total: Counter[str] = Counter()
        for second, counts in reversed(self._seconds):
            if second < oldest_s:
                break
            total += counts
        return total
