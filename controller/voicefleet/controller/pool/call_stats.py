"""Arrivals, ages and durations of a pool's calls, from one observation of them to the next. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from voicefleet.controller.calls.snapshots import Snapshot


@dataclass(frozen=True, slots=True)
class CallStats:
    """Attributes:
    arrived: calls seen since this process began.
    ages_s: of the calls there are, in no order.
    ended_s: durations of those that ended since the last look.
    """

    arrived: int
    ages_s: NDArray[np.float64]
    ended_s: tuple[float, ...]


@dataclass
class CallWatch:
    """Compares each look at the calls with the one before.

    A call is known by its room and when its caller joined: room names recur. One that comes and goes between two looks
    is missed. Calls that were there at the first look did not arrive since, and after a time in which nothing was known
    nobody can tell when a call ended, so that those durations are left out.
    """

    _known: dict[tuple[str, int], int] | None = None
    _arrived: int = 0
    _looked_at_ms: int = field(default=0)

    def look(self, snapshot: Snapshot | None, *, longest_gap_ms: int = 10_000) -> CallStats | None:
        """The statistics now; None while the calls are unknown."""
        if snapshot is None:
            return None
        now_ms = snapshot.now_ms
        here = {(call.room, call.joined_ms): call.joined_ms for call in snapshot.calls}
        ended: tuple[float, ...] = ()
        if self._known is not None:
            self._arrived += len(here.keys() - self._known.keys())
            if now_ms - self._looked_at_ms <= longest_gap_ms:
                gone = self._known.keys() - here.keys()
                ended = tuple(max(0.001, (now_ms - self._known[call]) / 1000) for call in gone)
        self._known, self._looked_at_ms = here, now_ms
        ages_s = np.maximum(0.0, now_ms - np.array(list(here.values()), dtype=np.float64)) / 1000
        return CallStats(self._arrived, ages_s, ended)
