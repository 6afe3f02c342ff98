"""Repair: find a worker for every waiting call. Runs on every replica; Redis keeps the replicas apart.

LiveKit has no queue: a dispatch that finds no free worker is answered 200 and dropped. So a call is dispatched only
while workers say that slots are free, and a dispatch without a claim after `DISPATCH_TTL_MS` is made again. A
dispatch is never deleted: DeleteDispatch would remove a live agent, and leftovers are harmless because the claim
decides which agent may speak.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from voicefleet.contract.calls import DispatchMetadata
from voicefleet.contract.claims import LIVE_TTL_MS
from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.calls import Snapshot
from voicefleet.controller.ports import Participant
from voicefleet.controller.region import Region
from voicefleet.runtime.logs import get_logger

SCAN_EVERY_S = 0.25
AGENT_THERE_MS = 5_000
"""An agent without a claim is looked at again after this: its claim may be on its way."""
FAILED_MS = 1_000
_PARALLEL = 8

log = get_logger(__name__)


@dataclass(slots=True)
class _Silent:
    """An agent in a room whose call nobody claims."""

    since_s: float
    identities: frozenset[str]
    until_s: float
    """Not looked at again before this."""


class Dispatcher:
    """Serves the queue of one region."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._attempts: dict[str, int] = {}
        self._silent: dict[str, _Silent] = {}
        self._redis_well_since_s: float | None = None

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            self._region.wake.clear()
            await self.once()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SCAN_EVERY_S):
                    await self._region.wake.wait()

    async def once(self) -> None:
        """One look at the queue, and a dispatch for every waiting call that a free slot awaits."""
        region = self._region
        try:
            snapshot = await region.scan()
            self._forget_served(snapshot)
            rooms = await self._take(snapshot) if snapshot.waiting else []
        except UnknownStateError as error:
            region.failed("queue", error)
            # What Redis holds after an outage may be less than there is: wait for the next whole listing.
            region.listed_at_s = self._redis_well_since_s = None
            return
        region.worked("queue")
        if self._redis_well_since_s is None:
            self._redis_well_since_s = region.clock.monotonic()
        for start in range(0, len(rooms), _PARALLEL):
            await asyncio.gather(*(self._repair(room, snapshot.now_ms) for room in rooms[start : start + _PARALLEL]))

    def _forget_served(self, snapshot: Snapshot) -> None:
        unserved = {c.room for c in snapshot.calls if c.claim is None}
        for memory in (self._attempts, self._silent):
            for room in memory.keys() - unserved:
                del memory[room]

    async def _take(self, snapshot: Snapshot) -> list[str]:
        region = self._region
        region.reported = await region.workers.read()
        region.reported_at_s = now = region.clock.monotonic()
        free = sum(r.free for r in region.reported.values())
        if not free:
            return []
        # A room that is only looked at again later promises nobody a slot.
        idle = sum(s.until_s > now for s in self._silent.values())
        rooms: list[str] = []
        for _ in range(snapshot.waiting):
            room = await region.calls.take(free + idle)
            if room is None:
                break
            rooms.append(room)
        return rooms

    async def _repair(self, room: str, now_ms: int) -> None:
        region = self._region
        try:
            there = await region.livekit.list_participants(room)
            if not any(p.caller for p in there):
                await region.calls.left(room)
                result = "no_caller"
            elif any(p.agent for p in there) and not await self._remove_dead(room, there):
                await region.calls.look_again(room, AGENT_THERE_MS, now_ms)
                result = "agent_there"
            else:
                await self._dispatch(room)
                result = "sent"
        except UnknownStateError as error:
            result = "failed"
            log.warning("dispatch failed, trying again", region=region.name, room=room, error=str(error))
            await self._postpone(room, now_ms)
        region.metrics.dispatches.labels(region.name, result).inc()

    async def _dispatch(self, room: str) -> None:
        region = self._region
        attempt = self._attempts.get(room, 0) + 1
        record = (await region.calls.records([room])).get(room)
        metadata = DispatchMetadata(
            tier=record.tier if record else "", metadata=record.metadata if record else "", attempt=attempt
        )
        await region.livekit.create_dispatch(room, metadata.encode())
        self._attempts[room] = attempt
        self._silent.pop(room, None)
        log.info("waiting call dispatched", region=region.name, room=room, attempt=attempt)

    async def _postpone(self, room: str, now_ms: int) -> None:
        # With Redis away the call is taken again when its promise ends, after Redis is back.
        with contextlib.suppress(UnknownStateError):
            await self._region.calls.look_again(room, FAILED_MS, now_ms)

    async def _remove_dead(self, room: str, there: tuple[Participant, ...]) -> bool:
        """True when the room's agents were dead for sure and are removed: a call they held can be served again.

        Two witnesses: no job renewed a claim for a whole claim's life, with Redis well all the while, and no worker
        that reports has the room. An agent removed never rejoins.
        """
        region = self._region
        now = region.clock.monotonic()
        agents = frozenset(p.identity for p in there if p.agent)
        known = self._silent.get(room)
        if known is None or known.identities != agents:
            known = self._silent[room] = _Silent(now, agents, 0.0)
        known.until_s = now + AGENT_THERE_MS / 1000
        # Its life was a whole claim's without renewal before it began to wait; this asks for another one.
        patience_s = LIVE_TTL_MS / 1000
        watched_s = now - max(known.since_s, self._redis_well_since_s or now)
        reported = any(r.fresh and room in r.report.rooms for r in region.reported.values())
        if watched_s < patience_s or reported:
            return False
        for identity in agents:
            await region.livekit.remove_participant(room, identity)
        log.warning("dead agents removed from a call", region=region.name, room=room, agents=len(agents))
        return True
