"""Which events one receiver is told of next, and when again after a failure. Pure: time comes in, decisions go out.

Invariants: of one call one event is under way at most, and the next one only after it was told or given up, so that the
events of a call come in order; events of other calls do not wait for it. A receiver that fails all the time gets one
request at a time, further and further apart.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from voicefleet.contract.call_events import CallEvent

FIRST_AGAIN_S, LONGEST_AGAIN_S = 1.0, 600.0
"""After the first failure of an event, and at the longest; it doubles."""
LONGEST_PAUSE_S = 30.0
"""Of a receiver that fails all the time."""
FAILING_AFTER = 4
"""Failures in a row, of whichever calls: the receiver is failing."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event and its place in the region's stream."""

    place: tuple[int, int]
    event: CallEvent


@dataclass(slots=True)
class _Call:
    entries: deque[Entry] = field(default_factory=deque)
    under_way: bool = False
    attempts: int = 0
    not_before_s: float = 0.0


class Outbox:
    """What one receiver is still to be told, in memory.

    Args:
        at_once: requests under way at most.
        give_up_after_s: an event that is older is given up at its next failure.
    """

    def __init__(self, *, at_once: int, give_up_after_s: float) -> None:
        self._at_once = at_once
        self._give_up_after_s = give_up_after_s
        self._calls: dict[str, _Call] = {}
        self._under_way = 0
        self._failures = 0
        self._pauses = 0
        self._paused_until_s = 0.0
        self.waiting = 0
        """Events that are not told yet."""

    @property
    def failing(self) -> bool:
        """Nothing got through lately."""
        return self._failures >= FAILING_AFTER

    def add(self, entries: Iterable[Entry]) -> None:
        """More events, in the order of the stream."""
        for entry in entries:
            self._calls.setdefault(entry.event.call, _Call()).entries.append(entry)
            self.waiting += 1

    def oldest_ms(self) -> int | None:
        """When the oldest event that is not told happened; None: there is none."""
        return min((call.entries[0].event.at_ms for call in self._calls.values()), default=None)

    def take(self, now_s: float) -> list[Entry]:
        """The events to send now; each is under way until `told` or `failed`."""
        if now_s < self._paused_until_s:
            return []
        room = (1 if self.failing else self._at_once) - self._under_way
        if room <= 0:
            return []
        due = [call for call in self._calls.values() if not call.under_way and call.not_before_s <= now_s]
        if self.failing:
            # Not the same call again and again: it may be the only one that is refused.
            due.sort(key=lambda call: call.not_before_s)
        taken = due[:room]
        for call in taken:
            call.under_way = True
        self._under_way += len(taken)
        return [call.entries[0] for call in taken]

    def told(self, entry: Entry) -> None:
        """The receiver has it."""
        if self.failing:
            # It is back: what waited for that waits no longer.
            for call in self._calls.values():
                call.not_before_s = 0.0
        self._failures, self._pauses, self._paused_until_s = 0, 0, 0.0
        self._settle(entry)

    def failed(self, entry: Entry, now_s: float, age_s: float) -> bool:
        """It was not taken. True: it is given up, for it is `age_s` old."""
        call = self._calls[entry.event.call]
        self._failures += 1
        if self.failing:
            # Those that were under way together when it began to fail count once.
            self._pauses += self._under_way == 1
            self._paused_until_s = now_s + min(LONGEST_PAUSE_S, 2.0 ** min(16, self._pauses - 1))
        if age_s >= self._give_up_after_s:
            self._settle(entry)
            return True
        call.attempts += 1
        call.under_way = False
        self._under_way -= 1
        call.not_before_s = now_s + again_s(entry.event.id, call.attempts)
        return False

    def _settle(self, entry: Entry) -> None:
        call = self._calls[entry.event.call]
        call.entries.popleft()
        call.under_way, call.attempts, call.not_before_s = False, 0, 0.0
        self._under_way -= 1
        self.waiting -= 1
        if not call.entries:
            del self._calls[entry.event.call]


def again_s(id: str, attempts: int) -> float:
    """Seconds from the `attempts`-th failure of an event to its next try; spread by its id, so that events that failed
    together are not tried together."""
    spread = 0.75 + 0.5 * (zlib.crc32(f"{id} {attempts}".encode()) % 1000) / 1000
    return min(LONGEST_AGAIN_S, FIRST_AGAIN_S * 2.0 ** min(16, attempts - 1)) * spread
