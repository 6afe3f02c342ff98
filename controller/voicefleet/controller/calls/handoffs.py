"""Handoffs: live calls of a worker that drains, or hangs, move to others. Runs on every replica.

The controller only begins a handoff and orders a successor; the two jobs do the rest, and until its very end the old
one has the call. So one that fails costs nothing but time, and is begun again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from voicefleet.contract.claims import Claim, HandoffState
from voicefleet.contract.dials import DialState
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.controller.calls.call_store import DISPATCH_TTL_MS
from voicefleet.controller.calls.dispatch_requests import dispatch_agent
from voicefleet.controller.calls.handoff_plan import Move, emptying, plan_moves
from voicefleet.controller.calls.snapshots import Snapshot
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.logs.setup import get_logger

LOOK_EVERY_S = 0.5
REPORTS_AGE_S = 1.0
"""A worker that begins to drain says so at once, and one that hangs is not told by a second more or less."""
AT_ONCE = 8
"""Handoffs begun in one look: each starts a job process somewhere."""
FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 8.0

log = get_logger(__name__)


def backoff_s(failures: int) -> float:
    """Pause after the `failures`-th failed handoff (1, 2, ...) of one call."""
    return float(min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (failures - 1)))


@dataclass(slots=True)
class _Begun:
    """A handoff that this replica began."""

    claim: Claim
    ordered_s: float
    attempt: int = 1


class Handoffs:
    """Empties the workers of one region that are to leave."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._begun: dict[str, _Begun] = {}
        self._failures: dict[str, int] = {}
        self._not_before_s: dict[str, float] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.once()
            await self._region.clock.sleep(LOOK_EVERY_S)

    async def once(self) -> None:
        """One look: what became of those begun, and whether there is more to move."""
        region = self._region
        snapshot = region.scans.within(2 * LOOK_EVERY_S)
        now_s = region.clock.monotonic()
        if snapshot is None or not region.redis.settled(now_s):
            return  # the calls are not known now
        try:
            reports = await region.reports.read(REPORTS_AGE_S)
            leaving = emptying(reports, well_for_s=region.redis.well_for_s(now_s))
            rooms = [c.room for c in snapshot.calls if c.claim and c.claim.worker in leaving] if leaving else []
            under_way = await region.calls.handoffs([*dict.fromkeys([*rooms, *self._begun])])
            for room in list(self._begun):
                await self._follow(room, under_way[room].state if room in under_way else None)
            not_now = {room for room, until_s in self._not_before_s.items() if until_s > now_s}
            # While it rings the agent stays: nobody could tell the callee to wait.
            not_now |= {r for r, dial in (await region.dials.get_all(rooms)).items() if DialState(dial.state).under_way}
            moves = plan_moves(
                snapshot,
                reports,
                leaving,
                under_way,
                reserved_unjoined=region.reservations.unjoined(snapshot),
                not_now=not_now | self._begun.keys(),
            )
            await asyncio.gather(*(self._begin(move) for move in moves[:AT_ONCE]))
        except UnknownStateError as error:
            region.reads.failed("handoffs", error)
            return
        region.reads.succeeded("handoffs")
        self._forget(snapshot)

    async def _begin(self, move: Move) -> None:
        region, room = self._region, move.room
        if not await region.calls.claims.begin_handoff(room, job=move.claim.job):
            return  # another replica did, or the call is over
        begun = self._begun[room] = _Begun(move.claim, region.clock.monotonic())
        log.info("handoff begins", region=region.name, room=room, worker=move.claim.worker, job=move.claim.job)
        await self._order(room, begun)

    async def _order(self, room: str, begun: _Begun) -> None:
        region = self._region
        begun.ordered_s = region.clock.monotonic()
        try:
            await dispatch_agent(region, room, begun.attempt)
        except UnknownStateError as error:
            log.warning("successor not dispatched yet", region=region.name, room=room, error=str(error))
        begun.attempt += 1

    async def _follow(self, room: str, state: str | None) -> None:
        """What became of a handoff; `state` is None when there is none any more."""
        region, begun = self._region, self._begun[room]
        if state is not None:
            lost_s = begun.ordered_s + DISPATCH_TTL_MS / 1000
            if state == HandoffState.WANTED and region.clock.monotonic() >= lost_s:
                await self._order(room, begun)  # LiveKit dropped the order, or offered it to a worker that hangs
            return
        claim = await region.calls.claim(room)
        del self._begun[room]
        if claim is None:
            self._count(room, begun, "ended")
        elif claim.job != begun.claim.job:
            self._failures.pop(room, None)
            self._count(room, begun, "done", to_worker=claim.worker, to_job=claim.job)
        else:
            failures = self._failures[room] = self._failures.get(room, 0) + 1
            self._not_before_s[room] = region.clock.monotonic() + backoff_s(failures)
            self._count(room, begun, "failed", failures=failures)

    def _count(self, room: str, begun: _Begun, result: str, **more: object) -> None:
        region = self._region
        region.metrics.counters[catalogue.HANDOFFS].labels(region.name, result).inc()
        say = log.warning if result == "failed" else log.info
        say("handoff over", region=region.name, room=room, result=result, worker=begun.claim.worker, **more)

    def _forget(self, snapshot: Snapshot) -> None:
        for memory in (self._failures, self._not_before_s):
            for room in memory.keys() - snapshot.rooms if memory else ():
                del memory[room]
