"""Dispatch: find a worker for every waiting call. Every replica runs it; Redis keeps the replicas apart.

LiveKit has no queue: a dispatch that finds no free worker is answered 200 and dropped. So a call is dispatched only
while workers say that slots are free, and a dispatch without a claim after `DISPATCH_TTL_MS` is made again. A
dispatch is never deleted: DeleteDispatch would remove a live agent, and leftovers are harmless because the claim
decides which agent may speak.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from voicefleet.contract.calls import CallRecord
from voicefleet.contract.claims import job_of
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.contract.reports import WorkerState
from voicefleet.controller.calls.call_store import DISPATCH_TTL_MS, TAKEN_AT_ONCE
from voicefleet.controller.calls.concurrency import AdaptiveLimit
from voicefleet.controller.calls.dispatch_requests import dispatch_metadata, orders_in, send_dispatch
from voicefleet.controller.calls.expected import still_expected
from voicefleet.controller.calls.probe import ProbeResult, probe_agent
from voicefleet.controller.calls.snapshots import Snapshot
from voicefleet.controller.ports import Participant
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.tasks import KeyedTasks
from voicefleet.scaling import SupplyState

SCAN_EVERY_S = 0.25
AGENT_THERE_MS = 3_000
"""An agent without a claim is looked at again after this: its claim may be on its way."""
FAILED_MS = 1_000
FAST_ATTEMPTS = 4
UNRELIABLE_TTL_MS = 500
"""A worker that is well has claimed the call by then: LiveKit takes 0.2 s to offer it, the worker some milliseconds."""
LONGEST_PAUSE_MS = 4_000
LEAST_AT_ONCE, MOST_AT_ONCE = 64, 256
"""Dispatches under way to one LiveKit: as many as it answers in time."""
SLOW_S = 1.5
"""A dispatch, of two or three requests, that takes longer is no reason to ask for more at once."""
EACH_MS, LONGEST_PROMISE_MS = 4, 6_000
"""Of many calls taken at once the last waits its turn: so much longer for each the others leave them alone."""

log = get_logger(__name__)


def pause_ms(attempt: int, *, unreliable: bool) -> int:
    """How long the call is left alone after its `attempt`-th dispatch (1, 2, ...): leftovers must not pile up.

    Args:
        unreliable: LiveKit may offer the call to a worker that does not hear it.
    """
    first = UNRELIABLE_TTL_MS if unreliable else DISPATCH_TTL_MS
    return min(LONGEST_PAUSE_MS, first << max(0, min(attempt, 10) - FAST_ATTEMPTS))


def waiting_fact(region: Region, snapshot: Snapshot) -> dict[str, Any]:
    """Why a call waits for a slot now: none is free (`full`), or no worker is there (`no_worker`); and the numbers."""
    ready = [reported.report for reported in region.reports.last.values() if reported.fresh]
    slots = sum(report.slots for report in ready if report.state == WorkerState.READY)
    # A job whose caller left a moment ago has its slot still.
    busy = max(snapshot.live, sum(report.busy for report in ready))
    fact = {"e": "waiting", "why": "full" if slots else "no_worker", "slots": slots, "live": busy}
    observation = region.pool.observation
    if observation is not None:
        fact["starting"] = sum(worker.state is SupplyState.STARTING for worker in observation.workers)
    return fact


class Dispatcher:
    """Serves the queue of one region."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._attempts: dict[str, int] = {}
        self._idle_until_s: dict[str, float] = {}
        """Room with an agent in it and no claim -> when it is looked at again."""
        self._noted: dict[str, str] = {}
        """Waiting call -> why it waits, as it was noted."""
        self._dispatches = KeyedTasks[str](self._failed)
        self._limit = AdaptiveLimit(region.clock, least=LEAST_AT_ONCE, most=MOST_AT_ONCE, slow_s=SLOW_S)

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            while True:
                self._region.wake.clear()
                began_s = self._region.clock.monotonic()
                await self.once()
                # Whoever wakes us again and again gets half of our time for it, the dispatches under way the rest.
                await self._region.clock.sleep(min(SCAN_EVERY_S, self._region.clock.monotonic() - began_s))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SCAN_EVERY_S):
                        await self._region.wake.wait()
        finally:
            await self._dispatches.cancel_and_wait()

    async def once(self) -> None:
        """One look at the queue, and a dispatch for every waiting call that a free slot awaits. Dispatches are made
        beside it: a LiveKit that is slow for one call must not hold up the others."""
        region = self._region
        try:
            snapshot = await region.scans.scan()
            self._forget_served(snapshot)
            rooms = await self._take(snapshot) if snapshot.waiting else []
            records = await region.calls.records(rooms)
        except UnknownStateError as error:
            region.reads.failed("queue", error)
            return
        region.reads.succeeded("queue")
        for room in rooms:
            self._dispatches.start(room, functools.partial(self._dispatch, room, snapshot, records))
        await self._note_waiting(snapshot, rooms)

    def _failed(self, room: str, error: BaseException) -> None:
        log.error("dispatch failed", region=self._region.name, room=room, exc_info=error)

    def _forget_served(self, snapshot: Snapshot) -> None:
        if not self._attempts and not self._idle_until_s:
            return
        unserved = {c.room for c in snapshot.calls if c.claim is None}
        for memory in (self._attempts, self._idle_until_s):
            for room in memory.keys() - unserved:
                del memory[room]

    async def _note_waiting(self, snapshot: Snapshot, taken: Sequence[str]) -> None:
        """Why calls wait that no slot awaits, for their logs: `voicefleet call show` tells it for days."""
        if not snapshot.waiting:
            self._noted.clear()
            return
        fact = waiting_fact(self._region, snapshot)
        why, about = fact["why"], {c.room for c in snapshot.calls if c.rank is not None}.difference(taken)
        new = [room for room in about if room not in self._attempts and self._noted.get(room) != why]
        self._noted = {room: kept for room, kept in self._noted.items() if room in about}
        # What cannot be noted now is noted at the next look.
        with contextlib.suppress(UnknownStateError):
            await self._region.calls.logs.note(new, fact, why)
            self._noted.update(dict.fromkeys(new, why))

    async def _take(self, snapshot: Snapshot) -> list[str]:
        region = self._region
        free = sum(r.free for r in (await region.reports.read(SCAN_EVERY_S)).values())
        if not free:
            return []
        # A room that is only looked at again later promises nobody a slot.
        now_s = region.clock.monotonic()
        idle = sum(until_s > now_s for until_s in self._idle_until_s.values())
        most = min(snapshot.waiting, free + idle)
        promise_ms = min(LONGEST_PROMISE_MS, DISPATCH_TTL_MS + EACH_MS * most)
        rooms: list[str] = []
        while len(rooms) < most:
            taken = await region.calls.take(free + idle, most=most - len(rooms), for_ms=promise_ms)
            rooms += taken
            if len(taken) < TAKEN_AT_ONCE:
                break
        return rooms

    async def _dispatch(self, room: str, snapshot: Snapshot, records: Mapping[str, CallRecord]) -> None:
        region = self._region
        try:
            async with self._limit.turn():
                result = await self._serve(room, snapshot, records)
        except UnknownStateError as error:
            result = "failed"
            log.warning("dispatch failed, trying again", region=region.name, room=room, error=str(error))
            await self._postpone(room, FAILED_MS, snapshot)
        region.metrics.counters[catalogue.DISPATCHES].labels(region.name, result).inc()

    async def _serve(self, room: str, snapshot: Snapshot, records: Mapping[str, CallRecord]) -> str:
        region = self._region
        record = records.get(room)
        orders: tuple[str, ...] = ()
        if record is None:
            there, orders = await asyncio.gather(region.livekit.list_participants(room), orders_in(region, room))
        else:
            there = await region.livekit.list_participants(room)
        if not any(p.caller for p in there) and not await still_expected(region, room, there):
            await region.calls.caller_left(room)
            return "no_caller"
        if any(p.neighbour for p in there):
            # The team's own worker has the call: a second agent would speak over it.
            await region.calls.neighbour_here(room)
            return "neighbour_there"
        if any(p.serves for p in there) and not await self._remove_dead(room, there, snapshot):
            return "agent_there"
        attempt = self._attempts[room] = self._attempts.get(room, 0) + 1
        await self._order(room, record, orders, attempt)
        self._idle_until_s.pop(room, None)
        await self._postpone(room, pause_ms(attempt, unreliable=region.dispatch_unreliable()), snapshot)
        return "sent"

    async def _order(self, room: str, record: CallRecord | None, orders: tuple[str, ...], attempt: int) -> None:
        """Ask for an agent. Raises `UnknownStateError`."""
        region = self._region
        await send_dispatch(region, room, dispatch_metadata(record, orders, attempt))
        with contextlib.suppress(UnknownStateError):
            await region.calls.logs.note([room], {"e": "dispatched", "attempt": attempt}, str(attempt))
        log.info("waiting call dispatched", region=region.name, room=room, attempt=attempt)

    async def _postpone(self, room: str, pause: int, snapshot: Snapshot) -> None:
        # With Redis away the call is taken again when its promise ends, after Redis is back.
        with contextlib.suppress(UnknownStateError):
            await self._region.calls.postpone(room, pause, self._region.scans.now_ms(snapshot))

    async def _remove_dead(self, room: str, there: Sequence[Participant], snapshot: Snapshot) -> bool:
        """True when no agent in the room lives: a call they held can be served again.

        The first witness is that no job holds a claim. The second is LiveKit: an agent that is cut off from Redis has
        no claim, and lives; its caller keeps it. Twice unanswered, it is fenced, and removed: it never rejoins.
        """
        region = self._region
        fenced = await region.calls.fenced_jobs(room)
        agents = [p.identity for p in there if p.serves]
        unsure = [identity for identity in agents if job_of(identity) not in fenced]
        if unsure:
            self._idle_until_s[room] = region.clock.monotonic() + AGENT_THERE_MS / 1000
            await self._postpone(room, AGENT_THERE_MS, snapshot)
            if not all(await asyncio.gather(*(self._dead(room, identity) for identity in unsure))):
                return False
            jobs = [job for identity in unsure if (job := job_of(identity))]
            if jobs and not await region.calls.claims.fence(room, jobs):
                return False
            log.warning("dead agents removed from a call", region=region.name, room=room, agents=len(unsure))
            region.metrics.counters[catalogue.RECOVERIES].labels(region.name, "no_claim").inc(len(unsure))
        for identity in agents:
            await region.livekit.remove_participant(room, identity)
        return True

    async def _dead(self, room: str, identity: str) -> bool:
        region = self._region
        for _ in range(2):
            result = await probe_agent(region.livekit, region.clock, room, identity)
            region.metrics.counters[catalogue.PROBES].labels(region.name, result.value).inc()
            if result is ProbeResult.ABSENT:
                return True
            if result is not ProbeResult.UNANSWERED:
                return False
        return True
