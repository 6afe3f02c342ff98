"""Tickets whose callers have not joined yet: each reserves a slot for a few seconds.

They are of this replica alone. Each of several replicas may reserve as much, which is no harm: no key is refused for
what another one has reserved.
"""

from __future__ import annotations

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


class Reservations:
    """The reservations of one region. Only writer: `http`; what reads them passes the calls that there are now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_room: dict[str, Reservation] = {}

    @property
    def rooms(self) -> frozenset[str]:
        return frozenset(self._by_room)

    def reserve(self, room: str, key: str) -> None:
        """A ticket for `room` was given: its caller needs a slot before any list of calls shows it."""
        self._by_room[room] = Reservation(self._clock.monotonic(), key)

    def release(self, room: str) -> None:
        """The ticket for `room` is not used, or not any more."""
        self._by_room.pop(room, None)

    def unused(self, snapshot: Snapshot) -> list[Reservation]:
        """Tickets that still let in, and whose callers are not in `snapshot` yet; the oldest first."""
        if self._by_room:
            since = self._clock.monotonic() - PENDING_S
            here = snapshot.rooms
            self._by_room = {r: p for r, p in self._by_room.items() if p.at_s > since and r not in here}
        return list(self._by_room.values())

    def unjoined(self, snapshot: Snapshot) -> int:
        """Callers with a ticket of the last few seconds who are not in `snapshot` yet."""
        return sum(self.expected(reservation) for reservation in self.unused(snapshot))

    def expected(self, reservation: Reservation) -> bool:
        """Whether its caller is expected, and needs a slot."""
        return reservation.at_s > self._clock.monotonic() - RESERVATION_S
