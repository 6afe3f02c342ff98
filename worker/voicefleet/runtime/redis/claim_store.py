"""Claims in Redis. Every change is a Lua script: one atomic move of the protocol in `contract.claims`."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from voicefleet.contract.aside import RELEASED_TTL_MS
from voicefleet.contract.claims import (
    ACCEPTED_TTL_MS,
    EPOCH_TTL_MS,
    HANDOFF_READY_TTL_MS,
    HANDOFF_TTL_MS,
    LIVE_TTL_MS,
    TROUBLE_MOVES,
    TROUBLE_PAUSE_MS,
    Claim,
    Handoff,
)
from voicefleet.contract.keys import Keys
from voicefleet.runtime.redis.connection import Scripts
from voicefleet.runtime.redis.scripts import (
    ClaimAccept,
    ClaimRelease,
    ClaimRenew,
    Fence,
    HandoffBegin,
    HandoffReady,
    HandoffYield,
    Recover,
    TroubleMove,
)
from voicefleet.runtime.redis.values import read_value

_RELEASED = 2
"""What the script answers when the call is released."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The call is ours to take; `epoch` is our place in the room's history."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Succeeding:
    """Another job has the call and is to hand it to us: join, get ready, and be silent until it has."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Another job has the call, or this one is fenced (then `by` may be None)."""

    by: Claim | None


@dataclass(frozen=True, slots=True)
class Renewed:
    """The call is ours. `handoff` is the one that we are to make, if any."""

    epoch: int
    handoff: Handoff | None


class Turn(enum.Enum):
    """What a successor hears: not yet; the call is its; it will not be."""

    WAIT = 1
    OURS = 2
    OVER = 0


class Yielded(enum.Enum):
    """What a holder hears that hands over: done; it keeps the call; the call is another's already."""

    DONE = 1
    KEPT = 0
    LOST = -1


class ClaimStore:
    """Claims of one region. Every method raises `UnknownStateError` when Redis does not answer: then the move may or
    may not have been made."""

    def __init__(self, scripts: Scripts, region: str) -> None:
        self._scripts = scripts
        self._keys = Keys(region)

    async def accept(
        self, room: str, room_sid: str, *, worker: str, job: str, attempt: int = 0
    ) -> Accepted | Succeeding | Refused:
        """Reserve the call in `room` for `job`; asking again for the same job is answered alike.

        Args:
            attempt: of the dispatch (see `DispatchMetadata`); the controller's own come to nothing in a released call.
        """
        args = ClaimAccept(
            room=room,
            worker=worker,
            job=job,
            room_sid=room_sid,
            attempt=attempt,
            accepted_ttl_ms=ACCEPTED_TTL_MS,
            epoch_ttl_ms=EPOCH_TTL_MS,
            handoff_ttl_ms=HANDOFF_TTL_MS,
        )
        keys = [*self._protocol(room), self._keys.changed, self._keys.aside(room)]
        answer, value = await self._scripts.run(keys, args)
        match int(answer):
            case 1:
                return Accepted(int(value))
            case 2:
                return Succeeding(int(value))
            case _:
                return Refused(read_value(Claim, value))

    async def renew(
        self, room: str, room_sid: str, *, worker: str, job: str, epoch: int, attempt: int = 0, trouble: str = ""
    ) -> Renewed | None:
        """Renew the live claim; the first renewal takes it. Called by the job itself, only while it is in the room.

        Args:
            epoch: what `accept` gave; 0 when the call was accepted while Redis was away.
            attempt: as for `accept`.
            trouble: what the job finds wrong with its own call; the controller then looks for itself.

        Returns:
            None when the call is another job's: leave without a word.
        """
        args = ClaimRenew(
            room=room,
            worker=worker,
            job=job,
            room_sid=room_sid,
            epoch=epoch,
            attempt=attempt,
            live_ttl_ms=LIVE_TTL_MS,
            epoch_ttl_ms=EPOCH_TTL_MS,
            trouble=trouble,
        )
        ours, handoff = await self._scripts.run([*self._holding(room), self._keys.aside(room)], args)
        return Renewed(int(ours), read_value(Handoff, handoff)) if int(ours) else None

    async def release(
        self, room: str, *, job: str, released: str = "", room_sid: str = "", only_accepted: bool = False
    ) -> bool:
        """Give the claim back. A claim of another job is left alone.

        Args:
            only_accepted: a claim that came alive is left alone too.
            released: why the agent's part ended on purpose, a word (`contract.aside.REASON_PATTERN`): in the same step
                the call is released, and nobody is sent there again until somebody asks. Also when the job's claim ran
                out, and nobody had the call since. Empty: an end like any other, the call is served again.
            room_sid: LiveKit's id of the room, for a released call.

        Returns:
            Whether the call is released now; without `released`, whether the claim was this job's. A job that was
            fenced, or that the controller removes from its room, releases no call.
        """
        k = self._keys
        keys = [k.claim(room), k.open_claims, k.ledger, k.changed, k.renewed, k.fenced(room), k.handoff(room)]
        args = ClaimRelease(
            room=room,
            job=job,
            room_sid=room_sid,
            released=released,
            released_ttl_ms=RELEASED_TTL_MS,
            epoch_ttl_ms=EPOCH_TTL_MS,
            only_accepted=only_accepted,
        )
        answer = int(await self._scripts.run([*keys, k.aside(room), k.removing(room)], args))
        return answer == _RELEASED if released else bool(answer)

    async def begin_handoff(self, room: str, *, job: str) -> bool:
        """Want the call in `room` moved away from `job`. False: it does not hold it, or a handoff is under way."""
        keys = [self._keys.claim(room), self._keys.handoff(room)]
        return bool(await self._scripts.run(keys, HandoffBegin(job=job, handoff_ttl_ms=HANDOFF_TTL_MS)))

    async def ready(self, room: str, *, job: str, starting: bool = False) -> Turn:
        """As the successor `job`, in the room: ready, or still `starting`. To be said every second until the answer is
        not `WAIT`."""
        keys = [self._keys.claim(room), self._keys.handoff(room)]
        args = HandoffReady(
            job=job,
            ready=not starting,
            ttl_ms=HANDOFF_TTL_MS if starting else HANDOFF_READY_TTL_MS,
            channel_prefix=self._keys.job_channel_prefix,
        )
        answer, _ = await self._scripts.run(keys, args)
        return Turn(int(answer))

    async def hand_over(self, room: str, *, job: str) -> Yielded:
        """As the holder `job`, silent by now: give the call to the successor that is ready."""
        args = HandoffYield(
            room=room,
            job=job,
            live_ttl_ms=LIVE_TTL_MS,
            epoch_ttl_ms=EPOCH_TTL_MS,
            channel_prefix=self._keys.job_channel_prefix,
        )
        answer, _ = await self._scripts.run(self._holding(room), args)
        return Yielded(int(answer))

    async def recover(self, room: str, claim: Claim, why: str = "") -> bool:
        """Free a call whose job is gone for sure, and put it at the head of the queue. False: it moved on.

        Args:
            why: a word for the call's log.
        """
        keys = self._keys
        queue = [keys.callers, keys.waiting, keys.inflight]
        args = Recover(room=room, worker=claim.worker, job=claim.job, why=why, epoch_ttl_ms=EPOCH_TTL_MS)
        every = [*self._protocol(room), *queue, keys.changed, keys.renewed]
        return bool(await self._scripts.run(every, args))

    async def may_move(self, room: str, claim: Claim) -> bool:
        """Whether a call whose job says that it is deaf or mute is to be moved now, which is counted with it."""
        args = TroubleMove(
            room_sid=claim.room_sid,
            job=claim.job,
            most=TROUBLE_MOVES,
            pause_ms=TROUBLE_PAUSE_MS,
            ttl_ms=EPOCH_TTL_MS,
        )
        return bool(await self._scripts.run([self._keys.troubled(room)], args))

    async def fence(self, room: str, jobs: Sequence[str]) -> bool:
        """Keep `jobs`, whose agents are removed from `room`, from ever holding its call. False: one holds it."""
        keys = [self._keys.claim(room), self._keys.epoch(room), self._keys.fenced(room)]
        return bool(await self._scripts.run(keys, Fence(jobs=list(jobs), epoch_ttl_ms=EPOCH_TTL_MS)))

    def _protocol(self, room: str) -> list[str]:
        keys = self._keys
        return [
            keys.claim(room),
            keys.epoch(room),
            keys.fenced(room),
            keys.handoff(room),
            keys.open_claims,
            keys.ledger,
        ]

    def _holding(self, room: str) -> list[str]:
        return [*self._protocol(room), self._keys.changed, self._keys.renewed]
