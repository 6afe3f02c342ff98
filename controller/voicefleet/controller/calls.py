"""The calls of one region in Redis: callers, the queue of waiting calls, dispatches under way, call records.

Every method raises `UnknownStateError` when Redis does not answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from voicefleet.contract import codec
from voicefleet.contract.calls import CALL_TTL_MS, PRIORITY_LEVEL_MS, CallRecord
from voicefleet.contract.claims import Claim, ClaimState, Handoff
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.keys import Keys
from voicefleet.runtime.claims import ClaimStore
from voicefleet.runtime.redis import RedisClient, Scripts, answered

DISPATCH_TTL_MS = 1_500
"""A dispatch without a claim after this counts as lost: LiveKit answers 200 to those it drops, and may offer the call
to a worker that hangs. A second one in the same room is harmless: the claim decides."""

VANISHED_MEMORY_MS = 60_000
"""The conversation of a room that is gone without a word: its caller may come back into a room of the same name."""

_UNREADABLE = Claim(worker="", job="", epoch=0, state=ClaimState.LIVE)
"""Stands for a claim that this release cannot read: somebody has the call."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as one scan saw it. Times are milliseconds of the Redis server's clock."""

    room: str
    joined_ms: int
    rank: float | None
    """Place in the queue, lower first; None when it does not wait. Below zero: it had an agent, which died."""
    claim: Claim | None

    @property
    def state(self) -> str:
        """joining, waiting, accepted or live."""
        if self.claim is not None:
            return str(ClaimState(self.claim.state))
        return "joining" if self.rank is None else "waiting"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every call of the region at one moment."""

    now_ms: int
    calls: tuple[Call, ...]
    served_after_s: tuple[float, ...]
    """Joined -> claim of the calls whose waiting this scan ended; a call that lost its agent is not among them."""

    @property
    def live(self) -> int:
        return sum(c.claim is not None for c in self.calls)

    @property
    def waiting(self) -> int:
        return sum(c.state == "waiting" for c in self.calls)

    @property
    def joining(self) -> int:
        return sum(c.state == "joining" for c in self.calls)


class CallBook:
    """The calls of `region`.

    Args:
        grace_ms: a caller without a claim for longer is a waiting call.
    """

    def __init__(self, redis: RedisClient, scripts: Scripts, region: str, *, grace_ms: int) -> None:
        self._redis = redis
        self._scripts = scripts
        self._keys = Keys(region)
        self._grace_ms = grace_ms
        self.region = region
        self.claims = ClaimStore(scripts, region)

    @property
    def _queue(self) -> list[str]:
        return [self._keys.callers, self._keys.waiting, self._keys.inflight]

    async def scan(self) -> Snapshot:
        """Bring the queue up to date and return it."""
        k = self._keys
        arguments: list[str | int | float] = [k.claim_prefix, self._grace_ms, k.call_prefix, PRIORITY_LEVEL_MS]
        answer = await self._scripts.run("queue_scan", self._queue, arguments)
        now_ms = int(float(answer[0]))
        calls: list[Call] = []
        served: list[float] = []
        for room, joined, rank, claim, served_rank in answer[1:]:
            joined_ms = int(float(joined))
            calls.append(Call(room, joined_ms, float(rank) if rank else None, _claim(claim) if claim else None))
            if served_rank and float(served_rank) > 0:
                served.append(max(0, now_ms - joined_ms) / 1000)
        return Snapshot(now_ms, tuple(calls), tuple(served))

    async def take(self, limit: int) -> str | None:
        """The waiting call to serve next, left alone by all replicas for `DISPATCH_TTL_MS`.

        Args:
            limit: dispatches that may be under way at once, over all replicas.
        """
        keys = [self._keys.waiting, self._keys.inflight]
        taken = await self._scripts.run("queue_take", keys, [self._keys.claim_prefix, limit, DISPATCH_TTL_MS])
        return str(taken[0]) if taken else None

    async def look_again(self, room: str, after_ms: int, now_ms: int) -> None:
        """Leave a taken call alone for `after_ms` more."""
        with answered():
            await self._redis.zadd(self._keys.inflight, {room: now_ms + after_ms}, xx=True)

    async def joined(self, room: str) -> None:
        """A caller joined just now. Saying it again changes nothing."""
        await self._change([(room, 0)], [], 0)

    async def left(self, room: str) -> None:
        """The last caller of `room` is gone."""
        await self._change([], [room], 0)

    async def listed(self, began_ms: int, here: Sequence[tuple[str, int]], gone: Iterable[str]) -> list[str]:
        """Take over a listing that began at `began_ms`: (room, joined_ms) of callers new to us, rooms without any.

        Returns:
            The rooms that were taken out.
        """
        return await self._change(here, gone, began_ms)

    async def _change(self, add: Sequence[tuple[str, int]], gone: Iterable[str], began_ms: int) -> list[str]:
        changes = json.dumps({"add": list(add), "gone": list(gone)})
        return list(await self._scripts.run("callers", self._queue, [changes, began_ms]))

    async def claim(self, room: str) -> Claim | None:
        """Who has the call in `room` now."""
        with answered():
            text = await self._redis.get(self._keys.claim(room))
        return _claim(text) if text else None

    async def fenced(self, room: str) -> frozenset[str]:
        """Jobs that must never hold the call in `room` again."""
        with answered():
            return frozenset(str(job) for job in await self._redis.smembers(self._keys.fenced(room)))

    async def handoffs(self, rooms: Sequence[str]) -> dict[str, Handoff]:
        """The handoffs under way in `rooms`."""
        if not rooms:
            return {}
        with answered():
            texts = await self._redis.mget([self._keys.handoff(room) for room in rooms])
        return {room: codec.load(Handoff, text) for room, text in zip(rooms, texts, strict=True) if text}

    async def forget_conversation(self, room: str) -> None:
        """Nobody may carry on with what was said in `room`."""
        with answered():
            await self._redis.delete(self._keys.memory(room))

    async def vanished(self, rooms: Iterable[str]) -> None:
        """Rooms that are gone although nobody said so: keep their conversations only a little longer."""
        with answered():
            async with self._redis.pipeline(transaction=False) as pipe:
                for room in rooms:
                    pipe.pexpire(self._keys.memory(room), VANISHED_MEMORY_MS)
                await pipe.execute()

    async def finished(self, room: str, room_sid: str) -> bool:
        """The room is over. False when its name belongs to a newer room by now."""
        k = self._keys
        keys = [k.claim(room), k.call(room), k.memory(room), k.handoff(room), k.held, k.ledger, *self._queue]
        return bool(await self._scripts.run("room_finished", keys, [room, room_sid]))

    async def store(self, record: CallRecord) -> None:
        """Keep what is known of a call until its end, or a day."""
        with answered():
            await self._redis.set(self._keys.call(record.room), codec.dump(record), px=CALL_TTL_MS)

    async def records(self, rooms: Sequence[str]) -> dict[str, CallRecord]:
        """What is known of the calls in `rooms`; a call that came without us has no record."""
        if not rooms:
            return {}
        with answered():
            texts = await self._redis.mget([self._keys.call(room) for room in rooms])
        found = zip(rooms, texts, strict=True)
        return {room: codec.load(CallRecord, text) for room, text in found if text}


def _claim(text: str | bytes) -> Claim:
    try:
        return codec.load(Claim, text)
    except UnknownStateError:
        return _UNREADABLE  # one value of a newer release must not hide every other call
