"""Recovery: find calls whose job is dead or stalled, and free them for another.

Runs on every replica. Nothing is taken from a job before the agent is out of the room, and the claim moves in one
script, so doing it twice does no harm. Redis shows who is suspect (`liveness`), LiveKit is the second witness
(`probe`). While Redis or we ourselves were not well a moment ago, nothing is judged.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools

from voicefleet.contract.claims import Claim, ClaimState, agent_identity
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.controller.calls.liveness import LISTENS_AFTER_MS, Health, Reason, Verdict, evaluate, fault_of_ours
from voicefleet.controller.calls.probe import ProbeResult, probe_agent
from voicefleet.controller.calls.snapshots import Call, Snapshot
from voicefleet.controller.regions.livekit_view import CutOff
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.tasks import KeyedTasks

PATIENCE_S = 0.5
"""The dispatcher scans twice as often; without its scans for so long, recovery makes its own."""
LEFT_ALONE_S = 3.0
"""An agent that answered is not asked again for this long."""
_RETRY_S = 0.5
HELD_BACK_S = 4.0
"""So long nobody is asked when most workers are suspect at once; then the answers decide."""
PROBES_AT_ONCE = 32
MOVES_AT_ONCE = 4
"""Where a provider fails for every call in silence, fresh jobs do not help: they must not all start at once."""

_HOW = {
    Reason.WORKER_ENDED: "ended",
    Reason.JOB_ENDED: "lost a job",
    Reason.NOT_LISTENING: "did not answer",
    Reason.NOT_RENEWED: "did not answer",
    Reason.TROUBLE: "had no media connection",
    Reason.DEAF: "did not hear its caller",
    Reason.MUTE: "was not heard",
}
"""What happened to the worker, for the log of incidents."""

log = get_logger(__name__)

_Key = tuple[str, str]
"""Room and job."""


class Recovery:
    """Watches the live calls of one region."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._asking = asyncio.Semaphore(PROBES_AT_ONCE)
        self._moving = asyncio.Semaphore(MOVES_AT_ONCE)
        self._tasks = KeyedTasks[tuple[str, _Key]](self._failed)
        self._alone_until_s: dict[_Key, float] = {}
        self._logged_alive: set[_Key] = set()
        self._many_since_s: float | None = None

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE_S):
                        await self._region.scans.next()
                await self.once()
        finally:
            await self._tasks.cancel_and_wait()

    async def once(self) -> None:
        """One look at every live call. What it starts runs beside it."""
        region = self._region
        try:
            snapshot = region.scans.snapshot
            if snapshot is None or region.scans.age_s >= PATIENCE_S:
                snapshot = await region.scans.scan()
            verdicts = await self._verdicts(snapshot)
        except UnknownStateError as error:
            region.reads.failed("recovery", error)
            return
        region.reads.succeeded("recovery")
        self._act(verdicts)

    async def _verdicts(self, snapshot: Snapshot) -> dict[_Key, tuple[Call, Claim, Verdict]]:
        """What is thought of every job that holds a call; nothing when all of them are surely well."""
        region = self._region
        departed = region.pool.departed(region.clock.monotonic())
        if self._alone_until_s or self._logged_alive:
            self._forget(snapshot)
        if not (snapshot.not_listening or snapshot.overdue or snapshot.in_trouble or departed):
            return {}
        held = [(call, call.claim) for call in snapshot.calls if call.claim]
        silent = [
            call for call, claim in held if claim.job in snapshot.not_listening and claim.state == ClaimState.LIVE
        ]
        if not (silent or snapshot.overdue or snapshot.in_trouble or departed):
            return {}
        if any(snapshot.now_ms - call.held_since_ms >= LISTENS_AFTER_MS for call in silent):
            await region.reports.read()
        return {
            (call.room, claim.job): (
                call,
                claim,
                evaluate(
                    claim,
                    overdue=call.room in snapshot.overdue,
                    held_for_ms=snapshot.now_ms - call.held_since_ms,
                    listening=claim.job not in snapshot.not_listening,
                    report=region.reports.last.get(claim.worker),
                    departed=claim.worker in departed,
                ),
            )
            for call, claim in held
        }

    def _forget(self, snapshot: Snapshot) -> None:
        held = {(call.room, call.claim.job) for call in snapshot.calls if call.claim}
        for key in self._alone_until_s.keys() - held:
            del self._alone_until_s[key]
        self._logged_alive.intersection_update(held)

    def _act(self, verdicts: dict[_Key, tuple[Call, Claim, Verdict]]) -> None:
        now_s = self._region.clock.monotonic()
        settled = self._region.redis.settled(now_s)
        if settled:
            self._count_suspects(verdicts, now_s)
        may_ask = settled and not self._held_back(now_s)
        for key, (call, claim, verdict) in verdicts.items():
            if verdict.health is Health.DEAD and (settled or verdict.reason is Reason.WORKER_ENDED):
                self._tasks.start(("free", key), functools.partial(self._free, call, claim, verdict.reason))
            elif verdict.health is Health.UNFIT and settled and self._alone_until_s.get(key, 0.0) <= now_s:
                self._tasks.start(("move", key), functools.partial(self._move, key, call, claim, verdict.reason))
            elif verdict.health is Health.SUSPECT and may_ask and self._alone_until_s.get(key, 0.0) <= now_s:
                self._tasks.start(("ask", key), functools.partial(self._ask, key, call, claim, verdict.reason))

    def _count_suspects(self, verdicts: dict[_Key, tuple[Call, Claim, Verdict]], now_s: float) -> None:
        # Whoever answered lately is cut off from Redis, and known to live.
        asked = [(c.worker, v) for key, (_, c, v) in verdicts.items() if self._alone_until_s.get(key, 0.0) <= now_s]
        if not fault_of_ours(asked):
            self._many_since_s = None
        elif self._many_since_s is None:
            self._many_since_s = now_s
            log.error("most workers are suspect at once, recovery waits", region=self._region.name)

    def _held_back(self, now_s: float) -> bool:
        return self._many_since_s is not None and now_s - self._many_since_s < HELD_BACK_S

    def _failed(self, name: tuple[str, _Key], error: BaseException) -> None:
        log.error("recovery of a call failed", region=self._region.name, room=name[1][0], exc_info=error)

    async def _ask(self, key: _Key, call: Call, claim: Claim, reason: Reason) -> None:
        region, clock = self._region, self._region.clock
        async with self._asking:
            result = await probe_agent(region.livekit, clock, call.room, agent_identity(claim.job))
        region.metrics.counters[catalogue.PROBES].labels(region.name, result.value).inc()
        now_s = clock.monotonic()
        if result is ProbeResult.ANSWERED:
            self._alone_until_s[key] = now_s + LEFT_ALONE_S
            self._log_alive(key, claim, reason)
        elif result in (ProbeResult.UNKNOWN, ProbeResult.NO_CALLER):
            self._alone_until_s[key] = now_s + _RETRY_S
        elif region.redis.settled(now_s) and not self._held_back(now_s):
            await self._decide(key, call, claim, reason)

    async def _move(self, key: _Key, call: Call, claim: Claim, reason: Reason) -> None:
        """A deaf or mute agent: away with it, so that a fresh job has the call; but not for ever, since it may be the
        caller's own microphone."""
        region = self._region
        async with self._moving:
            try:
                now = await region.calls.claim(call.room)
                if now is None or now.job != claim.job or now.trouble != claim.trouble:
                    return
                moves = await region.calls.claims.may_move(call.room, claim)
            except UnknownStateError as error:
                log.warning("call not moved yet", region=region.name, room=call.room, error=str(error))
                return
            if not moves:
                self._alone_until_s[key] = region.clock.monotonic() + LEFT_ALONE_S
                return
            await self._free(call, claim, reason)

    async def _decide(self, key: _Key, call: Call, claim: Claim, reason: Reason) -> None:
        """The agent did not answer. The claim has the last word: it may have been renewed meanwhile."""
        region = self._region
        try:
            now = await region.calls.claim(call.room)
        except UnknownStateError as error:
            log.warning("suspect job not evaluated", region=region.name, room=call.room, error=str(error))
            return
        if now is None or now.job != claim.job:
            return
        if now.renewed_ms > claim.renewed_ms and not now.trouble:
            self._alone_until_s[key] = region.clock.monotonic() + LEFT_ALONE_S
            self._log_alive(key, claim, reason)
            return
        await self._free(call, now, reason)

    def _log_alive(self, key: _Key, claim: Claim, reason: Reason) -> None:
        if key in self._logged_alive:
            return
        self._logged_alive.add(key)
        room, name = key[0], self._region.name
        log.warning(
            "suspect job answered, left alone",
            region=name,
            room=room,
            worker=claim.worker,
            job=claim.job,
            reason=reason.value,
        )

    async def _free(self, call: Call, claim: Claim, reason: Reason) -> None:
        region, room = self._region, call.room
        if not await take_from(region, room, claim, reason.value):
            return
        if reason is Reason.TROUBLE:
            region.cut_off = CutOff(region.clock.monotonic())
        silent_s = 0.0
        if claim.renewed_ms and (last := region.scans.snapshot) is not None:
            silent_s = max(0.0, (region.scans.now_ms(last) - claim.renewed_ms) / 1000)
        if (last := region.scans.snapshot) is not None:
            how = _HOW.get(reason, f"lost its jobs ({reason.value})")
            region.lost_workers.lost_call(claim.worker, room, how, region.clock.monotonic(), region.scans.now_ms(last))
        region.metrics.counters[catalogue.RECOVERIES].labels(region.name, reason.value).inc()
        region.metrics.histograms[catalogue.RECOVERY_DETECTION].labels(region.name, reason.value).observe(silent_s)
        log.warning(
            "call lost its job, to the head of the queue",
            region=region.name,
            room=room,
            worker=claim.worker,
            job=claim.job,
            reason=reason.value,
            silent_s=round(silent_s, 2),
        )
        region.wake.set()


async def take_from(region: Region, room: str, claim: Claim, reason: str) -> bool:
    """Free a call for another job: the agent out of the room first, which may wake at any moment, then the claim; the
    call is the next to be served. Before that it is said that we do it: a job that lives would take its removal for
    the team's wish. False: not done, and to be tried again if the claim is still there."""
    try:
        await region.calls.mark_removing(room, claim.job)
        await region.livekit.remove_participant(room, agent_identity(claim.job))
        return await region.calls.claims.recover(room, claim, reason)
    except UnknownStateError as error:
        # Still suspect, or dead, at the next look.
        log.warning("call not recovered yet", region=region.name, room=room, job=claim.job, error=str(error))
        return False
