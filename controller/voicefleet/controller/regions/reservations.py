"""Tickets whose callers have not joined yet: each reserves a slot for a few seconds.

They are of this replica alone. Each of several replicas may reserve as much, which is no harm: no key is refused for
what another one has reserved.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from voicefleet.controller.calls.snapshots import Snapshot
from voicefleet.controller.http.auth.limits import PENDING_S
from voicefleet.runtime.clock import Clock

RESERVATION_S = 5.0
"""A slot is reserved for the caller of a ticket for so long; a caller who has not joined by then gets no slot kept."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A ticket that was given, and that nobody is known to have joined with.

    For `RESERVATION_S` its caller is expected, and needs a slot; after that it may still come.
    """

    at_s: float
    key: str
    """The API key that asked for it."""


@dataclass(frozen=True, slots=True)
class ReservationCounts:
    """Tickets that nobody has joined with yet."""

    expected: int
    """Callers who are on the way, of all keys."""
    own: int
    """Those of them whose ticket is of one key."""
    held: int
    """All tickets of that key that still let in."""


class Reservations:
    """The reservations of one region. Only writer: `http`; what reads them passes the calls that there are now.

    Counts are kept, not made: hundreds of requests a second ask for them, and thousands of tickets may be unused.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_room: dict[str, Reservation] = {}
        """The oldest first."""
        self._on_the_way: deque[str] = deque()
        """Rooms whose callers are expected, or were; the oldest first."""
        self._expected: Counter[str] = Counter()
        self._held: Counter[str] = Counter()
        self._looked: Snapshot | None = None

    @property
    def rooms(self) -> frozenset[str]:
        return frozenset(self._by_room)

    def reserve(self, room: str, key: str) -> None:
        """A ticket for `room` was given: its caller needs a slot before any list of calls shows it."""
        self.release(room)
        self._by_room[room] = Reservation(self._clock.monotonic(), key)
        self._on_the_way.append(room)
        self._expected[key] += 1
        self._held[key] += 1

    def release(self, room: str) -> None:
        """The ticket for `room` is not used, or not any more."""
        reservation = self._by_room.pop(room, None)
        if reservation is None:
            return
        self._held[reservation.key] -= 1
        if room in self._on_the_way:
            self._on_the_way.remove(room)
            self._expected[reservation.key] -= 1

    def counts(self, snapshot: Snapshot, key: str) -> ReservationCounts:
        """As many as there are now, of callers who are not in `snapshot` yet."""
        self._look(snapshot)
        return ReservationCounts(len(self._on_the_way), self._expected[key], self._held[key])

    def unjoined(self, snapshot: Snapshot) -> int:
        """Callers with a ticket of the last few seconds who are not in `snapshot` yet."""
        self._look(snapshot)
        return len(self._on_the_way)

    def _look(self, snapshot: Snapshot) -> None:
        now_s = self._clock.monotonic()
        if snapshot is not self._looked:
            self._looked = snapshot
            for room in [room for room in self._by_room if room in snapshot.rooms]:
                self.release(room)
        while self._on_the_way and self._by_room[self._on_the_way[0]].at_s <= now_s - RESERVATION_S:
            self._expected[self._by_room[self._on_the_way.popleft()].key] -= 1
        while self._by_room and self._by_room[first := next(iter(self._by_room))].at_s <= now_s - PENDING_S:
            self.release(first)
