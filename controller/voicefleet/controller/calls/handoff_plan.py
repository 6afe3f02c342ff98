"""Which live calls are to move to another worker now. Pure: what is known in, calls out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from voicefleet.contract.claims import Claim, ClaimState, Handoff, HandoffState
from voicefleet.contract.reports import WorkerState
from voicefleet.controller.calls.snapshots import Snapshot
from voicefleet.controller.pool.worker_store import Reported

HUNG_AFTER_S = 5.0
"""A main process silent for longer hangs, if others report: its calls go on, and nobody looks after them."""


@dataclass(frozen=True, slots=True)
class Move:
    """One call that is to leave its worker."""

    room: str
    claim: Claim


def emptying(reports: Mapping[str, Reported], *, well_for_s: float) -> frozenset[str]:
    """Workers whose live calls are to move: they drain, or their main process hangs.

    Args:
        well_for_s: how long Redis has been well; before that the silence of a worker says nothing of it.
    """
    others_report = any(r.prompt for r in reports.values())
    draining = {w for w, r in reports.items() if r.prompt and r.report.state == WorkerState.DRAINING}
    if not others_report or well_for_s < HUNG_AFTER_S:
        return frozenset(draining)
    return frozenset(draining | {w for w, r in reports.items() if r.silent_s > HUNG_AFTER_S})


def plan_moves(
    snapshot: Snapshot,
    reports: Mapping[str, Reported],
    leaving: Collection[str],
    handoffs: Mapping[str, Handoff],
    *,
    reserved_unjoined: int,
    not_now: Collection[str],
) -> list[Move]:
    """The calls to hand off now, the oldest first: as many as slots are free that nobody else needs.

    Args:
        leaving: workers whose calls are to move.
        handoffs: under way, by room.
        reserved_unjoined: callers with a ticket who have not joined yet.
        not_now: rooms whose last handoff failed a moment ago.
    """
    if not leaving:
        return []
    staying = {worker: r for worker, r in reports.items() if worker not in leaving}
    free = sum(r.free for r in staying.values())
    promised = sum(h.state == HandoffState.WANTED for h in handoffs.values()) + _not_reported(handoffs, staying)
    spare = free - snapshot.waiting - snapshot.joining - reserved_unjoined - promised
    able = [
        Move(call.room, call.claim)
        for call in sorted(snapshot.calls, key=lambda c: (c.joined_ms, c.room))
        if call.claim is not None
        and call.claim.worker in leaving
        and call.claim.state == ClaimState.LIVE
        # A job that does not renew is recovery's business.
        and call.room not in snapshot.overdue
        and call.room not in handoffs
        and call.room not in not_now
    ]
    return able[: max(0, spare)]


def _not_reported(handoffs: Mapping[str, Handoff], reports: Mapping[str, Reported]) -> int:
    """Calls that a worker accepted as a successor since its last report: they have their slot, which it still calls
    free."""
    accepted: dict[str, set[str]] = {}
    for room, handoff in handoffs.items():
        if handoff.state != HandoffState.WANTED:
            accepted.setdefault(handoff.to_worker, set()).add(room)
    return sum(
        len(rooms.difference(reports[worker].report.rooms)) for worker, rooms in accepted.items() if worker in reports
    )
