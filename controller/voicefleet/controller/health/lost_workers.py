"""What became of the calls of workers that were lost: one line for each worker, once it is known. Pure but for memory.

A worker may end (its owner says so), or only lose its jobs (recovery finds out). Both are told here, in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from voicefleet.controller.calls.snapshots import Snapshot

TOLD_AFTER_S = 1.0
"""So long more calls of the same worker may turn out to be lost."""
GIVEN_UP_S = 15.0
"""Whoever was not moved by then waits; that is told apart."""
LONGEST_HOW = 160
MOST_WORKERS = 200


@dataclass(frozen=True, slots=True)
class LostWorker:
    """A worker that is lost, or lost calls, and what became of these."""

    worker: str
    how: str
    """How it ended, or what revealed that its jobs were gone."""
    moved: int
    left: int
    """Calls that ended meanwhile."""
    waiting: int
    """Calls that nobody has yet."""
    took_s: float
    """Until the last of the moved ones had another agent."""

    @property
    def text(self) -> str:
        """In one line."""
        parts = []
        if self.moved:
            parts.append(f"{_calls(self.moved)} moved in {self.took_s:.1f} s")
        if self.left:
            parts.append(f"{_calls(self.left)} ended meanwhile")
        if self.waiting:
            parts.append(f"{_calls(self.waiting)} still without an agent after {GIVEN_UP_S:.0f} s")
        return f"{self.worker} {self.how}, {', '.join(parts) or 'it had no call'}"


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"


@dataclass(slots=True)
class _Open:
    how: str
    ended: bool
    began_s: float
    began_ms: int
    """On the clock of the snapshots."""
    last_s: float
    rooms: set[str] = field(default_factory=set)


class LostWorkers:
    """Those of one region. Only writer: the modules that notice that a worker, or a job, is lost."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    def ended(self, worker: str, how: str, now_s: float, snapshot: Snapshot | None, now_ms: int) -> None:
        """The process or pod of `worker` has ended, and nobody told it to.

        Args:
            how: such as ``killed by signal 9``.
            snapshot: the calls as they were last known.
            now_ms: the time now on their clock.
        """
        held = [call.room for call in snapshot.calls if call.claim and call.claim.worker == worker] if snapshot else []
        self._note(worker, how, held, now_s, now_ms, ended=True)

    def lost_call(self, worker: str, room: str, how: str, now_s: float, now_ms: int) -> None:
        """The call in `room` was taken from a job of `worker` that is dead."""
        self._note(worker, how, [room], now_s, now_ms, ended=False)

    def _note(self, worker: str, how: str, rooms: list[str], now_s: float, now_ms: int, *, ended: bool) -> None:
        found = self._open.get(worker)
        if found is None:
            if len(self._open) >= MOST_WORKERS:
                return
            found = self._open[worker] = _Open(how[:LONGEST_HOW], ended, now_s, now_ms, now_s)
        elif ended and not found.ended:
            found.how, found.ended = how[:LONGEST_HOW], True
        found.rooms.update(rooms)
        found.last_s = now_s

    def settled(self, snapshot: Snapshot | None, now_s: float) -> list[LostWorker]:
        """Those of whose calls it is known now what became of them; each is told once."""
        told = []
        for worker, lost in list(self._open.items()):
            holders = _holders(snapshot, lost.rooms, worker) if snapshot else {}
            waiting = [room for room, since_ms in holders.items() if since_ms is None]
            late = now_s - lost.began_s >= GIVEN_UP_S
            if not late and (snapshot is None or waiting or now_s - lost.last_s < TOLD_AFTER_S):
                continue
            del self._open[worker]
            moved = [since_ms for since_ms in holders.values() if since_ms is not None]
            took_s = max(0.0, (max(moved) - lost.began_ms) / 1000) if moved else 0.0
            left = len(lost.rooms) - len(holders) if snapshot else 0
            told.append(LostWorker(worker, lost.how, len(moved), left, len(waiting), took_s))
        return told


def _holders(snapshot: Snapshot, rooms: set[str], worker: str) -> Mapping[str, int | None]:
    """Room -> since when another job has its call; None: nobody does. A call that is over is left out."""
    found: dict[str, int | None] = {}
    for call in snapshot.calls:
        if call.room in rooms and call.aside is None:
            taken = call.claim is not None and call.claim.worker != worker
            found[call.room] = call.held_since_ms if taken else None
    return found
