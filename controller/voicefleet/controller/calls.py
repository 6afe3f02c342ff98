"""The calls of one region in Redis: callers, the queue of waiting calls, dispatches under way, call records.

Every method raises `UnknownStateError` when Redis does not answer.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from voicefleet.contract import codec
from voicefleet.contract.calls import CALL_TTL_MS, PRIORITY_LEVEL_MS, CallRecord
from voicefleet.contract.claims import RENEWAL_OVERDUE_MS, Claim, ClaimState, Handoff
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.keys import Keys
from voicefleet.runtime.claims import ClaimStore
from voicefleet.runtime.redis import RedisClient, Scripts, answered

DISPATCH_TTL_MS = 1_500
"""A dispatch without a claim after this counts as lost: LiveKit answers 200 to those it drops, and may offer the call
to a worker that hangs. A second one in the same room is harmless: the claim decides."""

VANISHED_MEMORY_MS = 60_000
"""The conversation of a room that is gone without a word: its caller may come back into a room of the same name."""

LOOK_AT_ALL_MS = 5_000
"""Scans tell what changed; so often every call is looked at all the same. Jobs of an older release do not say all that
they change, and a Redis that took over may have lost some."""

LISTEN_EVERY_MS = 200
"""Who listens is asked in every scan of the beat, not in those between two of them."""

WATCHED = 64
"""So many calls of the queue, the next to be served, are looked at in every scan."""

ENDED_MS = 900_000
"""A call ended on purpose is remembered for so long; see `limits.OVER_S`."""

CHANGES_KEPT_MS = 60_000
"""Far longer than the pause between two scans of any replica."""

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
    held_since_ms: int = field(default=0, compare=False)
    """When a scan first saw its claim in the hands of this job; 0 without a claim."""

    @property
    def state(self) -> str:
        """joining, waiting, accepted or live."""
        if self.claim is not None:
            return str(ClaimState(self.claim.state))
        return "joining" if self.rank is None else "waiting"


@dataclass(frozen=True)
class Snapshot:
    """Every call of the region at one moment.

    A claim's time of renewal is that of the last look at it, which is old for jobs that go on renewing: see `overdue`.
    """

    now_ms: int
    calls: tuple[Call, ...]
    """The one who joined first is first."""
    served_after_s: tuple[float, ...]
    """Joined -> claim of the calls whose waiting this scan ended; a call that lost its agent is not among them."""
    overdue: frozenset[str] = frozenset()
    """Rooms whose live claim was not renewed for `RENEWAL_OVERDUE_MS`; their claims are as they are now."""
    silent: frozenset[str] = frozenset()
    """Jobs that hold a call, as Redis has it, and do not listen; the claims of their calls are as they are now."""
    troubled: bool = False
    """A job says that something is wrong with its call; the claims of such calls are as they are now."""
    server: str = ""
    """Which life of Redis says so: another one after a restart, or when a replica took over. Empty: unknown."""

    @property
    def live(self) -> int:
        return self._counts[0]

    @property
    def waiting(self) -> int:
        return self._counts[1]

    @property
    def joining(self) -> int:
        return len(self.calls) - self.live - self.waiting

    @cached_property
    def _counts(self) -> tuple[int, int]:
        """Calls with a claim, and waiting ones."""
        without = [call for call in self.calls if call.claim is None]
        return len(self.calls) - len(without), sum(call.rank is not None for call in without)

    @cached_property
    def rooms(self) -> frozenset[str]:
        """The rooms of all calls."""
        return frozenset(call.room for call in self.calls)


_JOINED = operator.attrgetter("joined_ms", "room")


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
        self._scanning = asyncio.Lock()
        self._known: dict[str, Call] = {}
        self._calls: tuple[Call, ...] = ()
        self._in_order = True
        """`_known` has the one who joined first first."""
        self._restless: set[str] = set()
        """Rooms whose calls change without a word of anybody: the grace ends, a claim expires."""
        self._troubled: set[str] = set()
        self._queued: dict[str, float] = {}
        """Room of each waiting call -> its rank."""
        self._silent: dict[str, str] = {}
        """Job that does not listen -> room of its call."""
        self._scanned_ms = 0
        self._all_scanned_ms = 0
        self._heard_ms = 0
        self._server = ""

    @property
    def _queue(self) -> list[str]:
        return [self._keys.callers, self._keys.waiting, self._keys.inflight]

    async def scan(self) -> Snapshot:
        """Bring the queue up to date and return it. Costs what changed since the last scan, not what there is."""
        async with self._scanning:
            try:
                answer = await self._look()
                if self._server and answer[2] != self._server:
                    # What changed before this server's life began, or before it took over, it may not know.
                    self._scanned_ms = 0
                    answer = await self._look()
            except BaseException:
                self._scanned_ms = 0
                raise
            return self._take_over(answer)

    async def _look(self) -> list[Any]:
        k = self._keys
        arguments: list[str | int | float] = [
            k.claim_prefix,
            self._grace_ms,
            k.call_prefix,
            PRIORITY_LEVEL_MS,
            k.job_channel_prefix,
            RENEWAL_OVERDUE_MS,
            CHANGES_KEPT_MS,
            self._scanned_ms,
            self._all_scanned_ms,
            LOOK_AT_ALL_MS,
            self._heard_ms,
            LISTEN_EVERY_MS,
        ]
        keys = [*self._queue, k.changed, k.renewed, k.held]
        return list(await self._scripts.run("queue_scan", keys, [*arguments, *self._watched()]))

    def _take_over(self, answer: list[Any]) -> Snapshot:
        now, full, server, heard, *rows = answer
        now_ms = int(now)
        known = self._known
        if full:
            self._known, self._restless, self._troubled, self._queued = {}, set(), set(), {}
            self._all_scanned_ms = now_ms
        overdue: list[str] = []
        served: list[float] = []
        changed = bool(full)
        for room, joined, rank, text, served_rank in rows:
            before = known.get(room)
            call = _call(room, joined, rank, _claim(text), now_ms, before) if joined else None
            if full or call != before:
                changed = True
                self._note(room, call)
            if call is None:
                continue
            if call.claim and call.claim.renewed_ms and now_ms - call.claim.renewed_ms > RENEWAL_OVERDUE_MS:
                overdue.append(room)
            if served_rank and float(served_rank) > 0:
                served.append(max(0, now_ms - call.joined_ms) / 1000)
        if changed:
            if not self._in_order or full:
                self._known = {call.room: call for call in sorted(self._known.values(), key=_JOINED)}
                self._in_order = True
            self._calls = tuple(self._known.values())
        self._scanned_ms, self._server = now_ms, server
        if heard:
            self._silent, self._heard_ms = dict(heard[1:]), now_ms
        return Snapshot(
            now_ms,
            self._calls,
            tuple(served),
            overdue=frozenset(overdue),
            silent=frozenset(self._silent),
            troubled=bool(self._troubled),
            server=server,
        )

    def _note(self, room: str, call: Call | None) -> None:
        """What is known of a call now; None: it is over."""
        self._restless.discard(room)
        self._troubled.discard(room)
        self._queued.pop(room, None)
        if call is None:
            self._known.pop(room, None)
            return
        before = self._known.get(room)
        if before is not None:
            self._in_order = self._in_order and before.joined_ms == call.joined_ms
        elif self._known:
            # Most come after all others.
            last = self._known[next(reversed(self._known))]
            self._in_order = self._in_order and _JOINED(last) < _JOINED(call)
        self._known[room] = call
        if call.claim is None and call.rank is not None:
            self._queued[room] = call.rank
        elif call.claim is None or call.claim.state != ClaimState.LIVE:
            self._restless.add(room)
        elif call.claim.trouble:
            self._troubled.add(room)

    def _watched(self) -> Iterator[str]:
        """Rooms to look at in any case: time alone changes them, they are next to be served, or `recovery` is to
        judge them by their claims of now."""
        yield from self._restless
        yield from self._troubled
        yield from heapq.nsmallest(WATCHED, self._queued, key=self._queued.__getitem__)
        yield from self._silent.values()

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
        return list(await self._scripts.run("callers", [*self._queue, self._keys.changed], [changes, began_ms]))

    async def claim(self, room: str) -> Claim | None:
        """Who has the call in `room` now."""
        with answered():
            text = await self._redis.get(self._keys.claim(room))
        return _claim(text or "")

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
        room_keys = [k.claim(room), k.call(room), k.memory(room), k.handoff(room)]
        keys = [*room_keys, k.held, k.ledger, *self._queue, k.changed, k.renewed]
        return bool(await self._scripts.run("room_finished", keys, [room, room_sid]))

    async def store(self, record: CallRecord) -> None:
        """Keep what is known of a call until its end, or a day."""
        with answered():
            await self._redis.set(self._keys.call(record.room), codec.dump(record), px=CALL_TTL_MS)

    async def end(self, room: str) -> None:
        """The call in `room` is ended on purpose: whoever joins there again with an old ticket is sent away."""
        with answered():
            await self._redis.set(self._keys.ended(room), "1", px=ENDED_MS)

    async def ended(self, rooms: Sequence[str]) -> frozenset[str]:
        """Those of `rooms` whose call was ended on purpose."""
        if not rooms:
            return frozenset()
        with answered():
            found = await self._redis.mget([self._keys.ended(room) for room in rooms])
        return frozenset(room for room, text in zip(rooms, found, strict=True) if text)

    async def records(self, rooms: Sequence[str]) -> dict[str, CallRecord]:
        """What is known of the calls in `rooms`; a call that came without us has no record."""
        if not rooms:
            return {}
        with answered():
            texts = await self._redis.mget([self._keys.call(room) for room in rooms])
        found = zip(rooms, texts, strict=True)
        return {room: codec.load(CallRecord, text) for room, text in found if text}


def _call(room: str, joined: str, rank: str, claim: Claim | None, now_ms: int, before: Call | None) -> Call:
    since_ms = 0
    if claim is not None:
        same = before is not None and before.claim is not None and before.claim.job == claim.job
        since_ms = before.held_since_ms if before is not None and same else now_ms
    return Call(room, int(float(joined)), float(rank) if rank else None, claim, since_ms)


def _claim(text: str | bytes) -> Claim | None:
    if not text:
        return None
    try:
        return codec.load(Claim, text)
    except UnknownStateError:
        return _UNREADABLE  # one value of a newer release must not hide every other call
