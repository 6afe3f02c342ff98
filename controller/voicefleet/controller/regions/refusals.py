"""Callers of the last minutes who were refused a call, and those who got a ticket, of all replicas together."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence

from voicefleet.runtime.clock import Clock

WINDOWS_S = (60.0, 300.0)
"""What the replicas tell each other of: `Refusals.within` knows of no other windows."""
KEPT_S = WINDOWS_S[-1]

REFUSED = ("full", "limited", "unavailable", "failed")
"""Results of `POST /v1/calls` that keep a caller from a call, though nothing is wrong with the request; named as in the
metric `voicefleet_call_requests`."""
PLACED = ("ticket", "dialled")


class Refusals:
    """What became of requests for calls in one region, by result and second. Only writer: `http`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds: deque[tuple[int, Counter[str]]] = deque()
        self._others: Sequence[Mapping[float, Mapping[str, int]]] = ()

    def note(self, result: str) -> None:
        """A request for a call was answered so."""
        second = int(self._clock.monotonic())
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, Counter()))
            while self._seconds[0][0] < second - KEPT_S:
                self._seconds.popleft()
        self._seconds[-1][1][result] += 1

    def hear(self, others: Sequence[Mapping[float, Mapping[str, int]]]) -> None:
        """What each other replica has answered: window -> result -> answers; of those that can be heard."""
        self._others = others

    def within(self, window_s: float) -> Counter[str]:
        """Result -> answers of all replicas within the last `window_s`, one of `WINDOWS_S`."""
        total = self.own(window_s)
        for other in self._others:
            total.update(other.get(window_s, {}))
        return total

    def own(self, window_s: float) -> Counter[str]:
        """Result -> answers of this replica within the last `window_s`."""
        oldest_s = self._clock.monotonic() - window_s
        total: Counter[str] = Counter()
        for second, counts in reversed(self._seconds):
            if second < oldest_s:
                break
            total += counts
        return total
