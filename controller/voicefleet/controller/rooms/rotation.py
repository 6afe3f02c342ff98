"""Which rooms to list the participants of next: rooms never looked at first, then those looked at longest ago. Pure.

A room that cannot be listed is unknown, alone: it is asked again later each time, and the others go on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from voicefleet.controller.ports import Room

FOREIGN_S = 10.0
"""A room of somebody else's is looked at again after this: an agent may still be ordered for it."""
FAILED_S, MOST_FAILED_S = 2.0, 30.0
TOLERATED, TOLERATED_SHARE = 3, 0.5
"""So many rooms, or this share of those that have to be looked at, may be unknown: the rest is no less known."""


@dataclass(slots=True)
class _Looked:
    """What became of a room's looks. `since_ms` is when the listing began that did not show it yet; None: unknown.
    `number` counts the looks at all rooms; 0: never."""

    since_ms: int | None
    number: int = 0
    failures: int = 0
    not_before_s: float = 0.0
    foreign: bool = False
    visited_ms: int = 0
    """When the last listing began that saw a caller in it; 0: none did."""


class Rotation:
    """The rooms of one LiveKit, by sid: names recur."""

    def __init__(self) -> None:
        self._rooms: dict[str, _Looked] = {}
        self._listed: list[str] = []
        self._looks = 0

    def take_over(self, rooms: Iterable[Room], since_ms: int | None) -> None:
        """The rooms there are. Those that are new came after a listing that began at `since_ms`."""
        known = self._rooms
        self._rooms = {r.sid: known.get(r.sid) or _Looked(since_ms) for r in rooms}

    def due(self, unsure: Sequence[Room], calls: Collection[str], now_s: float, most: int) -> list[Room]:
        """The rooms of `unsure` to look at now, at most so many: the first is the most urgent.

        Args:
            calls: names of rooms whose call is known already; what is not known comes first.
        """
        self._listed = [r.sid for r in unsure]
        able = [r for r in unsure if self._rooms[r.sid].not_before_s <= now_s or self._ordered_since(r)]

        def urgency(room: Room) -> tuple[bool, int]:
            number = self._rooms[room.sid].number
            return bool(number) or room.name in calls, number

        return sorted(able, key=urgency)[:most]

    def foreign(self, room: Room, now_s: float) -> bool:
        """Whether it was somebody else's a moment ago, and still is as far as a listing shows it."""
        looked = self._rooms[room.sid]
        return looked.foreign and looked.not_before_s > now_s and not self._ordered_since(room)

    def _ordered_since(self, room: Room) -> bool:
        """Whether it was somebody else's, and its metadata order our agent by now."""
        return self._rooms[room.sid].foreign and room.order is not None

    def since_ms(self, room: Room) -> int | None:
        """Whoever is in `room` came after this."""
        return self._rooms[room.sid].since_ms

    def visited_ms(self, room: Room) -> int:
        """When a caller was last seen in it; 0: never."""
        return self._rooms[room.sid].visited_ms

    def looked(self, room: Room, now_s: float, began_ms: int, *, foreign: bool = False, visited: bool = False) -> None:
        """It was looked at, in a listing that began at `began_ms`: whoever is new to it later came after that.

        Args:
            visited: a caller is in it.
        """
        looked = self._rooms[room.sid]
        looked.visited_ms = began_ms if visited else looked.visited_ms
        looked.since_ms = began_ms
        self._looks += 1
        looked.number, looked.failures, looked.foreign = self._looks, 0, foreign
        looked.not_before_s = now_s + FOREIGN_S if foreign else 0.0

    def failed(self, room: Room, now_s: float) -> None:
        """Who is in it could not be told."""
        looked = self._rooms[room.sid]
        looked.not_before_s = now_s + min(MOST_FAILED_S, FAILED_S * 2**looked.failures)
        looked.failures = min(looked.failures + 1, 10)

    @property
    def unknown(self) -> int:
        """Rooms of those last unsure that could not be listed when last asked."""
        return sum(bool((looked := self._rooms.get(sid)) and looked.failures) for sid in self._listed)

    def unseen(self, calls: Collection[str], rooms: Sequence[Room]) -> int:
        """Rooms without a known call that were never looked at, and could have been."""
        return sum(
            not looked.number and not looked.failures
            for room in rooms
            if room.name not in calls and (looked := self._rooms.get(room.sid))
        )

    @property
    def too_many_unknown(self) -> bool:
        """So much is unknown that it is LiveKit, and not some rooms."""
        return self.unknown > max(TOLERATED, TOLERATED_SHARE * len(self._listed))
