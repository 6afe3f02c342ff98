"""The calls of one region in Redis: callers, the queue of waiting calls, dispatches under way, call records.

Every method raises `UnknownStateError` when Redis does not answer.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
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
"""Scans tell what changed; so often a round through every call begins all the same. Jobs of an older release do not say
all that they change, and a Redis that took over may have lost some."""

LISTEN_EVERY_MS = 200
"""Who listens is asked in every scan of the beat, not in those between two of them."""

PART = 1_000
"""So many calls are looked through in one scan: Redis does nothing else meanwhile."""

LISTENERS_PART = 4_000
"""So many jobs are asked about in one scan: whether they listen."""

TAKEN_AT_ONCE = 500
"""Calls taken from the queue by one command."""

ORPHAN_MS = 15_000
"""A claim that ran out, of a call without a caller, stays in the book for so long: its job may come back."""

WATCHED = 64
"""So many calls of the queue, the next to be served, are looked at in every scan."""

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
    abandoned: int = 0
    """Callers who waited until this scan, and are gone without an agent."""
    counted: tuple[int, int] | None = None
    """Calls with a claim, and waiting ones, where that is known already."""

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
        if self.counted is not None:
            return self.counted
        without = [call for call in self.calls if call.claim is None]
        return len(self.calls) - len(without), sum(call.rank is not None for call in without)

    @cached_property
    def rooms(self) -> frozenset[str]:
        """The rooms of all calls."""
        return frozenset(call.room for call in self.calls)


@dataclass(slots=True)
class _Round:
    """A walk through all calls, part by part."""

    through: int = 1
    """1: the callers. 2: the queue, for what nobody waits in any more."""
    cursor: str = "0"
    seen: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Scanned:
    """What the looks of one scan found."""

    now_ms: int = 0
    overdue: list[str] = field(default_factory=list)
    served: list[float] = field(default_factory=list)


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
        self._past: dict[str, Call] = {}
        """What was known before all of it had to be learned anew."""
        self._restless: dict[str, None] = {}
        """Rooms whose calls change without a word of anybody: the grace ends, a claim expires."""
        self._troubled: set[str] = set()
        self._queued: dict[str, float] = {}
        """Room of each waiting call -> its rank."""
        self._silent: dict[str, str] = {}
        """Job that does not listen -> room of its call."""
        self._live = self._abandoned = 0
        self._first: list[str] | None = None
        """The next to be served; None: not known."""
        self._doubtful: list[str] = []
        """Rooms that the last round did not come by."""
        self._changed = False
        self._scanned_ms = 0
        self._round: _Round | None = _Round()
        """None between two rounds."""
        self._whole = False
        """A round was made since nothing was known."""
        self._round_ms = 0
        self._heard_ms = 0
        self._listeners_at = "0"
        self._silent_now: dict[str, str] = {}
        self._orphans: dict[str, int] = {}
        """Room of a claim that ran out, without a caller -> when that was first seen."""
        self._orphans_now: list[str] = []
        self._server = ""

    @property
    def _queue(self) -> list[str]:
        return [self._keys.callers, self._keys.waiting, self._keys.inflight]

    async def scan(self) -> Snapshot:
        """Bring the queue up to date and return it. Costs what changed since the last scan, not what there is."""
        async with self._scanning:
            try:
                snapshot = await self._scan()
            except BaseException:
                self._forget()
                raise
            await self._close_orphans(snapshot.now_ms)
            return snapshot

    async def _scan(self) -> Snapshot:
        scanned = _Scanned()
        while True:
            answer = await self._look()
            if self._scanned_ms and (answer[3] != self._server or int(answer[0]) < self._scanned_ms):
                # What changed before this server's life began, or before it took over, it may not know.
                self._forget()
                scanned = _Scanned()
                continue
            self._take_over(answer, scanned)
            if self._whole and self._scanned_ms == scanned.now_ms:
                return self._snapshot(scanned)

    def _forget(self) -> None:
        """Nothing is known any more: the next scan goes through everything."""
        self._past = self._known or self._past
        self._known, self._restless, self._troubled, self._queued = {}, {}, set(), {}
        self._live, self._first, self._doubtful, self._in_order = 0, None, [], True
        self._changed = True  # even if nothing is there any more
        self._scanned_ms, self._whole, self._round = 0, False, _Round()
        self._listeners_at, self._silent_now, self._orphans, self._orphans_now = "0", {}, {}, []

    async def _look(self) -> list[Any]:
        k, walk = self._keys, self._round
        arguments: list[str | int | float] = [
            k.claim_prefix,
            self._grace_ms,
            k.call_prefix,
            PRIORITY_LEVEL_MS,
            k.job_channel_prefix,
            RENEWAL_OVERDUE_MS,
            CHANGES_KEPT_MS,
            self._scanned_ms,
            walk.through if walk else 0,
            walk.cursor if walk else "0",
            self._listeners_at,
            self._heard_ms,
            LISTEN_EVERY_MS,
            PART,
            LISTENERS_PART,
        ]
        keys = [*self._queue, k.changed, k.renewed, k.held]
        return list(await self._scripts.run("queue_scan", keys, [*arguments, *self._watched()]))

    def _take_over(self, answer: list[Any], scanned: _Scanned) -> None:
        now, told, cursor, server, next_held, silent, orphans, *rows = answer
        now_ms = int(now)
        known = self._known
        del self._doubtful[:PART]
        for room, joined, rank, text, served_rank in rows:
            before = known.get(room)
            past = before or self._past.get(room)
            call = _call(room, joined, rank, _claim(text), now_ms, past) if joined else None
            if call != before:
                self._changed = True
                self._note(room, call)
            if self._round is not None:
                self._round.seen.add(room)
            if call is None:
                continue
            if call.claim and call.claim.renewed_ms and now_ms - call.claim.renewed_ms > RENEWAL_OVERDUE_MS:
                scanned.overdue.append(room)
            if served_rank and float(served_rank) > 0:
                scanned.served.append(max(0, now_ms - call.joined_ms) / 1000)
        self._scanned_ms, self._server, scanned.now_ms = int(told), server, now_ms
        self._go_round(str(cursor), now_ms)
        self._hear(str(next_held), silent, orphans, now_ms)

    def _go_round(self, cursor: str, now_ms: int) -> None:
        walk = self._round
        if walk is None:
            if now_ms - self._round_ms >= LOOK_AT_ALL_MS:
                self._round, self._round_ms = _Round(), now_ms
        elif cursor != "0":
            walk.cursor = cursor
        elif walk.through == 1:
            walk.through, walk.cursor = 2, "0"
        else:
            self._doubtful = [room for room in self._known if room not in walk.seen] if self._whole else []
            self._round_ms = self._round_ms if self._whole else now_ms
            self._round, self._whole, self._past = None, True, {}

    def _hear(self, cursor: str, silent: list[Any], orphans: list[str], now_ms: int) -> None:
        """Who does not listen: one of them is known at once, one who listens again at the end of a round."""
        if not cursor:
            return
        if self._listeners_at == "0":
            self._heard_ms = now_ms
        found = {str(job): str(room) for job, room in silent}
        self._silent_now |= found
        self._silent |= found
        self._orphans_now += orphans
        self._listeners_at = cursor
        if cursor == "0":
            self._silent, self._silent_now = self._silent_now, {}
            self._orphans = {room: self._orphans.get(room, now_ms) for room in self._orphans_now}
            self._orphans_now = []

    def _snapshot(self, scanned: _Scanned) -> Snapshot:
        if self._changed:
            if not self._in_order:
                self._known = {call.room: call for call in sorted(self._known.values(), key=_JOINED)}
                self._in_order = True
            self._calls = tuple(self._known.values())
        abandoned, self._abandoned, self._changed = self._abandoned, 0, False
        return Snapshot(
            scanned.now_ms,
            self._calls,
            tuple(scanned.served),
            overdue=frozenset(scanned.overdue),
            silent=frozenset(self._silent),
            troubled=bool(self._troubled),
            server=self._server,
            abandoned=abandoned,
            counted=(self._live, len(self._queued)),
        )

    def _note(self, room: str, call: Call | None) -> None:
        """What is known of a call now; None: it is over."""
        before = self._known.get(room)
        self._restless.pop(room, None)
        self._troubled.discard(room)
        if self._queued.pop(room, None) is not None:
            self._first = None
            self._abandoned += call is None
        self._live -= before is not None and before.claim is not None
        if call is None:
            self._known.pop(room, None)
            return
        self._live += call.claim is not None
        if before is not None:
            self._in_order = self._in_order and before.joined_ms == call.joined_ms
        elif self._known:
            # Most come after all others.
            last = self._known[next(reversed(self._known))]
            self._in_order = self._in_order and _JOINED(last) < _JOINED(call)
        self._known[room] = call
        if call.claim is None and call.rank is not None:
            self._queued[room] = call.rank
            self._first = None
        elif call.claim is None or call.claim.state != ClaimState.LIVE:
            self._restless[room] = None
        elif call.claim.trouble:
            self._troubled.add(room)

    def _watched(self) -> Iterator[str]:
        """Rooms to look at in any case: time alone changes them, they are next to be served, or `recovery` is to
        judge them by their claims of now. Those that join count only some at a time: the next scan is soon."""
        if self._first is None:
            self._first = heapq.nsmallest(WATCHED, self._queued, key=self._queued.__getitem__)
        for room in list(itertools.islice(self._restless, PART)):
            del self._restless[room]
            self._restless[room] = None  # the others first, next time
            yield room
        yield from self._troubled
        yield from self._first
        yield from self._silent.values()
        yield from self._doubtful[:PART]

    async def _close_orphans(self, now_ms: int) -> None:
        """Close in the book what nobody will close any more."""
        due = [room for room, since_ms in self._orphans.items() if now_ms - since_ms >= ORPHAN_MS][:TAKEN_AT_ONCE]
        if not due:
            return
        k = self._keys
        await self._scripts.run("held_expire", [k.callers, k.held, k.ledger], [k.claim_prefix, *due])
        for room in due:
            del self._orphans[room]

    async def take(self, limit: int, *, most: int = 1, for_ms: int = DISPATCH_TTL_MS) -> list[str]:
        """The waiting calls to serve next, the first of the queue first, at most `TAKEN_AT_ONCE`.

        Args:
            limit: dispatches that may be under way at once, over all replicas.
            most: calls to take now.
            for_ms: so long all replicas leave them alone.
        """
        keys = [self._keys.waiting, self._keys.inflight]
        arguments: list[str | int | float] = [self._keys.claim_prefix, limit, for_ms, min(most, TAKEN_AT_ONCE)]
        return [str(room) for room in await self._scripts.run("queue_take", keys, arguments)]

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

    async def forget_conversation(self, room: str, room_sid: str) -> None:
        """Nobody may carry on with what was said in `room` while it had this sid."""
        keys = [self._keys.memory(room), self._keys.memory_of(room)]
        await self._scripts.run("memory_forget", keys, [room_sid])

    async def vanished(self, rooms: Iterable[str]) -> None:
        """Rooms that are gone although nobody said so: keep their conversations only a little longer."""
        with answered():
            async with self._redis.pipeline(transaction=False) as pipe:
                for room in rooms:
                    pipe.pexpire(self._keys.memory(room), VANISHED_MEMORY_MS)
                    pipe.pexpire(self._keys.memory_of(room), VANISHED_MEMORY_MS)
                await pipe.execute()

    async def finished(self, room: str, room_sid: str) -> bool:
        """The room is over. False when its name belongs to a newer room by now."""
        k = self._keys
        room_keys = [k.claim(room), k.call(room), k.memory(room), k.handoff(room)]
        keys = [*room_keys, k.held, k.ledger, *self._queue, k.changed, k.renewed, k.memory_of(room)]
        return bool(await self._scripts.run("room_finished", keys, [room, room_sid]))

    async def store(self, record: CallRecord) -> None:
        """Keep what is known of a call until its end, or a day."""
        with answered():
            await self._redis.set(self._keys.call(record.room), codec.dump(record), px=CALL_TTL_MS)

    async def records(self, rooms: Sequence[str]) -> dict[str, CallRecord]:
        """What is known of the calls in `rooms`; a call that came without us has no record."""
        found: dict[str, CallRecord] = {}
        for start in range(0, len(rooms), PART):
            part = rooms[start : start + PART]
            with answered():
                texts = await self._redis.mget([self._keys.call(room) for room in part])
            found |= {room: codec.load(CallRecord, text) for room, text in zip(part, texts, strict=True) if text}
        return found


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
