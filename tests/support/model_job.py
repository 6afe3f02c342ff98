"""One job as the worker's code has it, step by step: the real `ClaimLease`, whose connection to Redis may fail.

When it may speak is `LiveCall`'s and `Handover`'s rule, retold here: it acquired the call (`ClaimLease.acquire`) or was
given it (`wait_for_turn`), its room is connected, its lease is not lost, and it is not in doubt: a process that did not
run for `STALL_S` is silent from its first moment on until a renewal that began later says that the call is its own.
Redis being away makes nobody silent.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from support.fake_livekit import FakeLiveKit
from support.model_redis import REGION, Line, ModelRedis, Wire
from voicefleet.contract.claims import RENEW_EVERY_S, agent_identity
from voicefleet.contract.errors import UnknownStateError
from voicefleet.runtime.redis.claim_store import ClaimStore, Refused, Succeeding, Turn
from voicefleet.runtime.redis.scripts import ScriptArguments
from voicefleet.worker.conversation.handover import GONE_AFTER_S, SUCCESSION_LIMIT_S
from voicefleet.worker.job.claim_lease import STALL_S, ClaimLease


class Stage(enum.Enum):
    ACCEPTED = "accepted"
    """Its process starts; it is not in the room yet."""
    JOINED = "joined"
    """In the room, and has not asked for the claim yet."""
    SUCCESSOR = "successor"
    """In the room, silent, ready to be given the call."""
    LIVE = "live"
    ENDED = "ended"


class Timer:
    """The clock of one job: it moves when the machine's time does, and when the job sleeps in the middle of a step."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def wall(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class ModelJob:
    """A job of `worker` for the call in `room`, whose LiveKit room is `sid`."""

    def __init__(
        self,
        redis: ModelRedis,
        livekit: FakeLiveKit,
        name: str,
        room: str,
        sid: str,
        worker: str,
        *,
        granted: Callable[[ModelJob], None],
        done: Callable[[ScriptArguments, Any], None],
    ) -> None:
        self._redis, self._livekit = redis, livekit
        self._granted = granted
        self.name, self.room, self.sid, self.worker = name, room, sid, worker
        self.stage = Stage.ACCEPTED
        self.epoch = 0
        self.succeeds = False
        self.asleep_since_s: float | None = None
        self.doubtful = False
        self.confirmed = False
        """Redis itself said that the call is its own; else it speaks because its first question had no answer."""
        self.said_ready = False
        self.renewed_s = 0.0
        self.joined_s = 0.0
        self.beats_at_s = 0.0
        """When it does something next."""
        self.wire = Wire(redis.scripts, done)
        self.claims = ClaimStore(self.wire, REGION)
        self.lease = ClaimLease(self.claims, room=room, room_sid=sid, worker=worker, job=name, epoch=0, clock=Timer())

    def __repr__(self) -> str:
        marks = [m for m in ("in_room", "doubtful", "confirmed") if getattr(self, m)]
        marks += ["asleep"] * self.asleep + ["lost"] * self.lease.lost + ["cut"] * self.wire.cut
        return f"{self.name}@{self.worker}:{self.stage.value}({self.epoch}; {' '.join(marks)})"

    @property
    def identity(self) -> str:
        return agent_identity(self.name)

    @property
    def in_room(self) -> bool:
        return self.identity in self._livekit.agents(self.room)

    @property
    def knows_epoch(self) -> bool:
        """Redis has told it the epoch of its call, or it has ended."""
        return self.stage is Stage.ENDED or (self.epoch or self.lease.epoch) > 0

    @property
    def asleep(self) -> bool:
        return self.asleep_since_s is not None

    @property
    def runs(self) -> bool:
        return self.stage is not Stage.ENDED and not self.asleep

    @property
    def beats(self) -> bool:
        """It does something every second."""
        return self.runs and self.stage is not Stage.ACCEPTED

    @property
    def speaks(self) -> bool:
        silent = self.asleep or self.doubtful or self.lease.lost
        return self.stage is Stage.LIVE and self.in_room and not silent

    def join(self, now_s: float) -> None:
        self._livekit.join_agent(self.room, self.identity, self.worker)
        self.joined_s = now_s
        self.stage = Stage.SUCCESSOR if self.succeeds else Stage.JOINED
        if self.succeeds:
            self.lease.epoch = self.epoch
        if not self.wire.cut:
            self._redis.listen(self.name)

    async def accept(self) -> bool:
        """Its worker's answer to the offer; False: the call is held. Redis being away is a yes."""
        try:
            answer = await self.claims.accept(self.room, self.sid, worker=self.worker, job=self.name)
        except UnknownStateError:
            return True
        if isinstance(answer, Refused):
            self.stage = Stage.ENDED
            return False
        self._granted(self)
        self.epoch, self.succeeds = answer.epoch, isinstance(answer, Succeeding)
        return True

    async def take(self, now_s: float, *, others: bool) -> None:
        """Its first question, `others` being in the room. Redis being away is an answer too: it speaks then."""
        self.lease.epoch = self.epoch
        if not await self.lease.acquire(others=others):
            await self.end()
            return
        self._began(now_s, confirmed=not self.wire.cut)

    async def beat(self, now_s: float) -> None:
        """What it does by itself about every second."""
        if not self.beats:
            return
        if not self.in_room:
            await self.end()  # its room said so; nothing is renewed any more
        elif self.stage is Stage.LIVE:
            await self._renew(now_s)
        elif self.stage is Stage.SUCCESSOR:
            await self._wait_for_turn(now_s)

    async def give(self, faults: Sequence[Line], *, there: Callable[[str], bool]) -> None:
        """Hand the call over, over a line that may fail in just that moment.

        Args:
            there: whether this job is in the room, as far as LiveKit shows.
        """
        handoff = self.lease.handoff
        assert handoff is not None
        self.wire.faults = list(faults)
        gone = await self.lease.hand_over()
        self.wire.faults.clear()
        if gone is None and there(handoff.to_job):
            self.lease.let_go()
            gone = True
        if gone:
            await self.end()

    def falls_asleep(self, now_s: float) -> None:
        """Its process stands still; its connections stay."""
        self.asleep_since_s = now_s
        self._livekit.mute.add(self.identity)

    def cut_off(self, *, cut: bool = True) -> None:
        """Its connections to Redis are gone, or are back."""
        self.wire.cut = cut
        if self.in_room:
            self._redis.listen(self.name, on=not cut)

    def wakes(self, now_s: float) -> None:
        self._livekit.mute.discard(self.identity)
        assert self.asleep_since_s is not None
        slept_s, self.asleep_since_s = now_s - self.asleep_since_s, None
        # The beat runs from the moment on that the call is its own.
        self.doubtful |= self.stage is Stage.LIVE and slept_s > STALL_S

    async def end(self) -> None:
        """In good order: the room is left, then the claim is given back."""
        self._leave()
        await self.lease.release()

    def dies(self, *, agent_stays: bool) -> None:
        """Its process is gone at once; LiveKit notices at once, or after a while."""
        self._livekit.mute.add(self.identity)
        self.asleep_since_s = None
        self._leave(agent_stays=agent_stays)

    def _leave(self, *, agent_stays: bool = False) -> None:
        self.stage = Stage.ENDED
        self._redis.listen(self.name, on=False)
        if not agent_stays:
            self._livekit.leave(self.room, self.identity)

    async def _renew(self, now_s: float) -> None:
        try:
            ours = await self.lease.renew()
        except UnknownStateError:
            return
        if not ours:
            await self.end()
            return
        self.confirmed, self.doubtful, self.renewed_s = True, False, now_s
        self._granted(self)

    async def _wait_for_turn(self, now_s: float) -> None:
        waited_s = now_s - self.joined_s
        if waited_s < SUCCESSION_LIMIT_S:
            try:
                turn = await self.claims.ready(self.room, job=self.name)
            except UnknownStateError:
                return
            self.said_ready |= turn is Turn.WAIT
            if turn is Turn.OURS:
                self._began(now_s, confirmed=True)
            elif turn is Turn.OVER:
                await self.end()
        elif waited_s >= SUCCESSION_LIMIT_S + GONE_AFTER_S:
            try:
                ours = await self.lease.renew()
            except UnknownStateError:
                ours = False
            if ours:
                self._began(now_s, confirmed=True)
            else:
                await self.end()

    def _began(self, now_s: float, *, confirmed: bool) -> None:
        self.stage, self.confirmed, self.renewed_s = Stage.LIVE, confirmed, now_s
        if confirmed:
            self._granted(self)


assert RENEW_EVERY_S == 1.0, "the machine's time goes in seconds, one renewal each"
