"""Scans of a region's calls: each tells what changed since the last one, and costs Redis no more for more calls.

Redis's script brings the queue up to date and tells what changed. Beside that a walk goes round through all calls, a
part in each scan, for what nobody told of. After an outage, or with another server, the first scan makes a whole round.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from voicefleet.contract.aside import RELEASED_TTL_MS
from voicefleet.contract.calls import PRIORITY_LEVEL_MS
from voicefleet.contract.claims import RENEWAL_OVERDUE_MS, ClaimState
from voicefleet.contract.keys import Keys
from voicefleet.controller.calls.snapshots import Call, Snapshot, read_aside, read_call, read_claim
from voicefleet.runtime.redis.connection import Scripts
from voicefleet.runtime.redis.scripts import OpenClaimsExpire, QueueScan

LOOK_AT_ALL_MS = 5_000
"""Scans tell what changed; so often a round through every call begins all the same. Jobs of an older release do not say
all that they change, and a Redis that took over may have lost some."""

LISTEN_EVERY_MS = 200
"""Who listens is asked in every scan of the beat, not in those between two of them."""

PART = 300
"""So many calls are looked through in one scan: Redis does nothing else meanwhile."""

LISTENERS_PART = 4_000
"""So many jobs are asked about in one scan: whether they listen."""

ORPHAN_MS = 15_000
"""A claim that ran out, of a call without a caller, stays in the book for so long: its job may come back."""

WATCHED = 64
"""So many calls of the queue, the next to be served, are looked at in every scan."""

CHANGES_KEPT_MS = 60_000
"""Far longer than the pause between two scans of any replica."""


@dataclass(slots=True)
class _Walk:
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


class Scanner:
    """The calls of `region`, as the scans of this process tell of them.

    Args:
        grace_ms: a caller without a claim for longer is a waiting call.
    """

    def __init__(self, scripts: Scripts, region: str, *, grace_ms: int) -> None:
        self._scripts = scripts
        self._keys = Keys(region)
        self._grace_ms = grace_ms
        self._scanning = asyncio.Lock()
        self._known: dict[str, Call] = {}
        self._calls: tuple[Call, ...] = ()
        self._in_order = True
        """`_known` has the one who joined first first."""
        self._past: dict[str, Call] = {}
        """What was known before all of it had to be learned anew."""
        self._unsettled: dict[str, None] = {}
        """Rooms whose calls change without a word of anybody: the grace ends, a claim expires."""
        self._troubled: set[str] = set()
        self._set_aside: set[str] = set()
        """Rooms whose calls want no agent. Whatever changes that says so; what runs out, a round finds."""
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
        self._round: _Walk | None = _Walk()
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

    async def scan(self) -> Snapshot:
        """Bring the queue up to date and return it. Costs what changed since the last scan, not what there is."""
        async with self._scanning:
            try:
                snapshot = await self._scan()
            except BaseException:
                self.forget()
                raise
            await self._close_orphans(snapshot.now_ms)
            return snapshot

    async def _scan(self) -> Snapshot:
        scanned = _Scanned()
        behind = False
        while True:
            # Many changes at once are told in parts: for the further ones of them alone.
            walk = None if behind else self._round
            answer = await self._look(walk, () if behind else self._watched())
            if self._scanned_ms and (answer[3] != self._server or int(answer[0]) < self._scanned_ms):
                # What changed before this server's life began, or before it took over, it may not know.
                self.forget()
                scanned, behind = _Scanned(), False
                continue
            self._apply_answer(answer, scanned)
            if not behind:
                self._advance_walk(str(answer[2]), scanned.now_ms)
            if self._whole and self._scanned_ms == scanned.now_ms:
                return self._snapshot(scanned)
            behind = self._whole

    def forget(self) -> None:
        """Nothing is known any more: the next scan goes through everything."""
        self._past = self._known or self._past
        self._known, self._unsettled, self._troubled, self._set_aside, self._queued = {}, {}, set(), set(), {}
        self._live, self._first, self._doubtful, self._in_order = 0, None, [], True
        self._changed = True  # even if nothing is there any more
        self._scanned_ms, self._whole, self._round = 0, False, _Walk()
        self._listeners_at, self._silent_now, self._orphans, self._orphans_now = "0", {}, {}, []

    async def _look(self, walk: _Walk | None, watched: Iterable[str]) -> list[Any]:
        k = self._keys
        args = QueueScan(
            claim_prefix=k.claim_prefix,
            call_prefix=k.call_prefix,
            aside_prefix=k.aside_prefix,
            released_ttl_ms=RELEASED_TTL_MS,
            channel_prefix=k.job_channel_prefix,
            grace_ms=self._grace_ms,
            priority_level_ms=PRIORITY_LEVEL_MS,
            overdue_ms=RENEWAL_OVERDUE_MS,
            changes_kept_ms=CHANGES_KEPT_MS,
            last_ms=self._scanned_ms,
            walk_through=walk.through if walk else 0,
            walk_cursor=walk.cursor if walk else "0",
            walk_part=PART,
            listeners_cursor=self._listeners_at,
            listeners_part=LISTENERS_PART,
            listeners_asked_ms=self._heard_ms,
            listeners_every_ms=LISTEN_EVERY_MS,
            rooms=list(watched),
        )
        keys = [k.callers, k.waiting, k.inflight, k.changed, k.renewed, k.open_claims]
        return list(await self._scripts.run(keys, args))

    def _apply_answer(self, answer: list[Any], scanned: _Scanned) -> None:
        now, told, _, server, next_held, silent, orphans, *rows = answer
        now_ms = int(now)
        known = self._known
        for room, joined, rank, text, served_rank, aside in rows:
            before = known.get(room)
            past = before or self._past.get(room)
            claim = read_claim(text)
            call = read_call(room, joined, rank, claim, read_aside(aside), now_ms, past) if joined else None
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
        self._update_listeners(str(next_held), silent, orphans, now_ms)

    def _advance_walk(self, cursor: str, now_ms: int) -> None:
        walk = self._round
        if walk is None:
            if now_ms - self._round_ms >= LOOK_AT_ALL_MS:
                self._round, self._round_ms = _Walk(), now_ms
        elif cursor != "0":
            walk.cursor = cursor
        elif walk.through == 1:
            walk.through, walk.cursor = 2, "0"
        else:
            self._doubtful = [room for room in self._known if room not in walk.seen] if self._whole else []
            self._round_ms = self._round_ms if self._whole else now_ms
            self._round, self._whole, self._past = None, True, {}

    def _update_listeners(self, cursor: str, silent: list[Any], orphans: list[str], now_ms: int) -> None:
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
            not_listening=frozenset(self._silent),
            in_trouble=bool(self._troubled),
            server=self._server,
            abandoned=abandoned,
            counted=(self._live, len(self._queued), len(self._set_aside)),
        )

    def _note(self, room: str, call: Call | None) -> None:
        """What is known of a call now; None: it is over."""
        before = self._known.get(room)
        self._unsettled.pop(room, None)
        self._troubled.discard(room)
        self._set_aside.discard(room)
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
        elif call.aside is not None:
            self._set_aside.add(room)
        elif call.claim is None or call.claim.state != ClaimState.LIVE:
            self._unsettled[room] = None
        elif call.claim.trouble:
            self._troubled.add(room)

    def _watched(self) -> Iterator[str]:
        """Rooms to look at in any case: time alone changes them, they are next to be served, or `recovery` is to
        judge them by their claims of now. Those that join count only some at a time: the next scan is soon."""
        if self._first is None:
            self._first = heapq.nsmallest(WATCHED, self._queued, key=self._queued.__getitem__)
        for room in list(itertools.islice(self._unsettled, PART)):
            del self._unsettled[room]
            self._unsettled[room] = None  # the others first, next time
            yield room
        yield from self._troubled
        yield from self._first
        yield from self._silent.values()
        yield from self._doubtful[:PART]
        del self._doubtful[:PART]

    async def _close_orphans(self, now_ms: int) -> None:
        """Close in the book what nobody will close any more."""
        due = [room for room, since_ms in self._orphans.items() if now_ms - since_ms >= ORPHAN_MS][:PART]
        if not due:
            return
        k = self._keys
        args = OpenClaimsExpire(claim_prefix=k.claim_prefix, rooms=due)
        await self._scripts.run([k.callers, k.open_claims, k.ledger], args)
        for room in due:
            del self._orphans[room]
