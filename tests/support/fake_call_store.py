"""The calls of one region in memory, behind `CallStorePort` and with the claims that workers ask for.

`tests/integration/test_call_store_fake.py` plays the same moves on it and on the real store in Redis, and compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from support.fake_livekit import EPOCH_MS
from voicefleet.contract.aside import NEIGHBOUR_TTL_MS, RELEASED_TTL_MS, Aside, Why
from voicefleet.contract.call_archive import PackedCall, Place
from voicefleet.contract.call_events import CallSummary, EndReason
from voicefleet.contract.call_log import CallLog
from voicefleet.contract.calls import PRIORITY_LEVEL_MS, CallRecord
from voicefleet.contract.claims import (
    ACCEPTED_TTL_MS,
    HANDOFF_READY_TTL_MS,
    HANDOFF_TTL_MS,
    LIVE_TTL_MS,
    RENEWAL_OVERDUE_MS,
    TROUBLE_MOVES,
    TROUBLE_PAUSE_MS,
    Claim,
    ClaimState,
    Handoff,
    HandoffState,
)
from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.calls.call_store import DISPATCH_TTL_MS
from voicefleet.controller.calls.snapshots import Call, Snapshot, read_call
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.redis.claim_store import Accepted, Refused, Renewed, Succeeding, Turn, Yielded


def _same_room(one: str, other: str) -> bool:
    return not one or not other or one == other


@dataclass
class _Redis:
    """What Redis holds. Values with a time end at it."""

    clock: Clock
    away: bool = False
    """No request is answered."""
    server: str = "life-1"
    callers: dict[str, int] = field(default_factory=dict)
    expected: set[str] = field(default_factory=set)
    left: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, float] = field(default_factory=dict)
    in_flight: dict[str, int] = field(default_factory=dict)
    claims: dict[str, tuple[Claim, int]] = field(default_factory=dict)
    open_jobs: dict[str, str] = field(default_factory=dict)
    """Room -> the job that opened its last claim, until that is closed."""
    epochs: dict[str, int] = field(default_factory=dict)
    fenced: dict[str, set[str]] = field(default_factory=dict)
    handoffs: dict[str, tuple[Handoff, int]] = field(default_factory=dict)
    troubled: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    """Room -> how often it was moved because its job was deaf or mute, when last, and from which job."""
    removing: dict[str, str] = field(default_factory=dict)
    asides: dict[str, tuple[Aside, int]] = field(default_factory=dict)
    records: dict[str, CallRecord] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    conversations: dict[str, str] = field(default_factory=dict)
    """Room -> sid of the room in which it was said."""
    shortened: list[str] = field(default_factory=list)
    listening: set[str] = field(default_factory=set)
    """Jobs that listen on their channel."""

    def now_ms(self) -> int:
        """Redis's clock, when it answers."""
        if self.away:
            raise UnknownStateError("Redis did not answer")
        return EPOCH_MS + round(self.clock.monotonic() * 1000)

    def claim(self, room: str) -> Claim | None:
        claim, until_ms = self.claims.get(room, (None, 0))
        return claim if until_ms > self.now_ms() else None

    def handoff(self, room: str) -> Handoff | None:
        handoff, until_ms = self.handoffs.get(room, (None, 0))
        return handoff if until_ms > self.now_ms() else None

    def aside(self, room: str) -> Aside | None:
        aside, until_ms = self.asides.get(room, (None, 0))
        return aside if until_ms > self.now_ms() else None

    def raise_epoch(self, room: str) -> int:
        self.epochs[room] = self.epochs.get(room, 0) + 1
        return self.epochs[room]

    def remove_caller(self, room: str) -> None:
        for names in (self.callers, self.waiting, self.in_flight):
            names.pop(room, None)
        self.expected.discard(room)


class FakeClaims:
    """As `ClaimStore`."""

    def __init__(self, redis: _Redis) -> None:
        self._redis = redis

    async def accept(
        self, room: str, room_sid: str, *, worker: str, job: str, attempt: int = 0
    ) -> Accepted | Succeeding | Refused:
        redis, now_ms = self._redis, self._redis.now_ms()
        claim = redis.claim(room)
        if job in redis.fenced.get(room, ()):
            return Refused(claim)
        if claim is None:
            if (aside := redis.aside(room)) is not None:
                same = _same_room(aside.room_sid, room_sid)
                if same and attempt:
                    return Refused(None)
                if not same or aside.why != Why.NEIGHBOUR:
                    del redis.asides[room]
            epoch = redis.raise_epoch(room)
            self._set(Claim(worker, job, epoch, ClaimState.ACCEPTED, room_sid), room, ACCEPTED_TTL_MS)
            redis.handoffs.pop(room, None)
            redis.open_jobs[room] = job
            return Accepted(epoch)
        if claim.job == job:
            return Accepted(claim.epoch)
        handoff = redis.handoff(room)
        if handoff is None or not (handoff.state == HandoffState.WANTED or handoff.to_job == job):
            return Refused(claim)
        if handoff.from_job == claim.job and handoff.from_worker != worker:
            taken = replace(handoff, state=HandoffState.ACCEPTED.value, to_job=job, to_worker=worker)
            redis.handoffs[room] = (taken, now_ms + HANDOFF_TTL_MS)
            return Succeeding(claim.epoch)
        return Refused(claim)

    async def renew(
        self, room: str, room_sid: str, *, worker: str, job: str, epoch: int, attempt: int = 0, trouble: str = ""
    ) -> Renewed | None:
        redis, now_ms = self._redis, self._redis.now_ms()
        claim = redis.claim(room)
        if job in redis.fenced.get(room, ()) or (claim is not None and claim.job != job):
            return None
        if claim is not None:
            epoch = claim.epoch
        else:
            last, before = redis.epochs.get(room, 0), redis.open_jobs.get(room)
            if before != job and epoch > 0 and (before or last > epoch):
                return None
            if (aside := redis.aside(room)) is not None and aside.why == Why.RELEASED:
                if _same_room(aside.room_sid, room_sid) and (attempt or epoch):
                    return None
                del redis.asides[room]
            epoch = max(epoch, last if before == job else last + 1, 1)
            redis.open_jobs[room] = job
        redis.epochs[room] = epoch
        self._set(Claim(worker, job, epoch, ClaimState.LIVE, room_sid, now_ms, trouble), room, LIVE_TTL_MS)
        handoff = redis.handoff(room)
        return Renewed(epoch, handoff if handoff and handoff.from_job == job else None)

    async def release(self, room: str, *, job: str, released: str = "", room_sid: str = "") -> bool:
        redis, now_ms = self._redis, self._redis.now_ms()
        claim, last = redis.claim(room), redis.open_jobs.get(room, job)
        if claim is not None and claim.job != job:
            return False
        releases = bool(released) and (claim is not None or last == job) and job not in redis.fenced.get(room, ())
        releases = releases and redis.removing.get(room) != job
        if claim is None and not releases:
            return False
        if claim is not None or last == job:
            redis.claims.pop(room, None)
            redis.open_jobs.pop(room, None)
        if releases:
            redis.fenced.setdefault(room, set()).add(job)
            redis.handoffs.pop(room, None)
            redis.asides[room] = (Aside(Why.RELEASED, room_sid, released, now_ms), now_ms + RELEASED_TTL_MS)
        return releases if released else True

    async def begin_handoff(self, room: str, *, job: str) -> bool:
        redis, now_ms = self._redis, self._redis.now_ms()
        claim = redis.claim(room)
        if claim is None or claim.job != job or claim.state != ClaimState.LIVE or redis.handoff(room):
            return False
        redis.handoffs[room] = (Handoff(job, claim.worker, HandoffState.WANTED), now_ms + HANDOFF_TTL_MS)
        return True

    async def ready(self, room: str, *, job: str) -> Turn:
        redis, now_ms = self._redis, self._redis.now_ms()
        claim, handoff = redis.claim(room), redis.handoff(room)
        if claim is not None and claim.job == job:
            return Turn.OURS
        if handoff is None or handoff.to_job != job or claim is None or claim.job != handoff.from_job:
            return Turn.OVER
        redis.handoffs[room] = (replace(handoff, state=HandoffState.READY.value), now_ms + HANDOFF_READY_TTL_MS)
        return Turn.WAIT

    async def hand_over(self, room: str, *, job: str) -> Yielded:
        redis, now_ms = self._redis, self._redis.now_ms()
        claim, handoff = redis.claim(room), redis.handoff(room)
        if job in redis.fenced.get(room, ()) or (claim is not None and claim.job != job):
            return Yielded.LOST
        if claim is None or handoff is None or handoff.from_job != job or handoff.state != HandoffState.READY:
            return Yielded.KEPT
        given = Claim(
            handoff.to_worker, handoff.to_job, redis.raise_epoch(room), ClaimState.LIVE, claim.room_sid, now_ms
        )
        self._set(given, room, LIVE_TTL_MS)
        redis.open_jobs[room] = given.job
        redis.fenced.setdefault(room, set()).add(job)
        redis.handoffs.pop(room, None)
        return Yielded.DONE

    async def recover(self, room: str, claim: Claim, why: str = "") -> bool:
        redis = self._redis
        now = redis.claim(room)
        if now is None or (now.worker, now.job) != (claim.worker, claim.job):
            return False
        del redis.claims[room]
        redis.handoffs.pop(room, None)
        redis.open_jobs.pop(room, None)
        redis.in_flight.pop(room, None)
        redis.raise_epoch(room)
        redis.fenced.setdefault(room, set()).add(claim.job)
        if room in redis.callers:
            redis.waiting[room] = -1 / redis.callers[room]
        return True

    async def may_move(self, room: str, claim: Claim) -> bool:
        redis, now_ms = self._redis, self._redis.now_ms()
        moves, at_ms, job = redis.troubled.get(room, (0, 0, ""))
        if job == claim.job:
            return True
        if moves >= TROUBLE_MOVES or (moves and now_ms - at_ms < TROUBLE_PAUSE_MS * 2 ** (moves - 1)):
            return False
        redis.troubled[room] = (moves + 1, now_ms, claim.job)
        return True

    async def fence(self, room: str, jobs: Sequence[str]) -> bool:
        claim = self._redis.claim(room)
        if claim is not None and claim.job in jobs:
            return False
        self._redis.fenced.setdefault(room, set()).update(jobs)
        self._redis.raise_epoch(room)
        return True

    def _set(self, claim: Claim, room: str, ttl_ms: int) -> None:
        self._redis.claims[room] = (claim, self._redis.now_ms() + ttl_ms)


class FakeCallLogs:
    """As `CallLogStore`, for the controller; the logs are the test's to give."""

    def __init__(self, redis: _Redis) -> None:
        self._redis = redis
        self.logs: dict[str, CallLog] = {}
        """By room, and by id."""
        self.reasons: dict[str, EndReason] = {}
        self.due: list[str] = []
        self.notes: list[tuple[str, dict[str, Any]]] = []
        """Room and what a controller noted of its call."""
        self.said: dict[tuple[str, str], str] = {}

    async def newest(self, room: str) -> CallLog | None:
        return await self.read(room)

    async def read(self, call: str) -> CallLog | None:
        self._redis.now_ms()
        return self.logs.get(call)

    async def now_ms(self) -> int:
        return self._redis.now_ms()

    async def note_reason(self, room: str, reason: EndReason, room_sid: str = "", *, over: bool = False) -> bool:
        self._redis.now_ms()
        return self.reasons.setdefault(room, reason) is reason

    async def note(self, rooms: Sequence[str], fact: dict[str, Any], state: str) -> None:
        self._redis.now_ms()
        for room in rooms:
            if self.said.get((room, fact["e"])) != state:
                self.said[room, fact["e"]] = state
                self.notes.append((room, fact))

    async def over(self) -> list[str]:
        self._redis.now_ms()
        return list(self.due)


class FakeCallArchive:
    """As `CallArchive`, over the logs of a test."""

    def __init__(self, redis: _Redis, logs: FakeCallLogs) -> None:
        self._redis = redis
        self._logs = logs
        self.closed: list[CallSummary] = []
        self.past: list[PackedCall] = []

    async def close(self, log: CallLog, summary: CallSummary) -> bool:
        self._redis.now_ms()
        if log.call not in self._logs.due:
            return False
        self._logs.due.remove(log.call)
        self.closed.append(summary)
        return True

    async def pack_due(self) -> None:
        self._redis.now_ms()

    async def find(self, name: str) -> CallLog | None:
        return await self._logs.newest(name)

    async def page(self, after: Place, until_ms: int, limit: int) -> tuple[list[PackedCall], Place | None]:
        self._redis.now_ms()
        found = sorted((Place(call.opened_ms, call.call), call) for call in self.past)
        found = [(place, call) for place, call in found if place > after and place.opened_ms < until_ms]
        return [call for _, call in found[:limit]], found[limit - 1][0] if len(found) > limit else None

    async def oldest_ms(self) -> int | None:
        self._redis.now_ms()
        return min((call.opened_ms for call in self.past), default=None)


class FakeCallStore:
    """As `CallStore`; `redis` is what it holds, for the test to look at and to change."""

    def __init__(self, clock: Clock, *, grace_ms: int = 1_000) -> None:
        self.redis = _Redis(clock)
        self.claims = FakeClaims(self.redis)
        self.logs = FakeCallLogs(self.redis)
        self.archive = FakeCallArchive(self.redis, self.logs)
        self._grace_ms = grace_ms
        self._before: dict[str, Call] = {}
        self._queued: set[str] = set()

    async def scan(self) -> Snapshot:
        redis, now_ms = self.redis, self.redis.now_ms()
        served: list[float] = []
        claims = {room: redis.claim(room) for room in redis.callers}
        for room, joined_ms in redis.callers.items():
            rank, aside = redis.waiting.get(room), redis.aside(room)
            if claims[room] is not None:
                if aside is not None and aside.why == Why.RELEASED:
                    del redis.asides[room]
                redis.in_flight.pop(room, None)
                if redis.waiting.pop(room, None) is not None and rank is not None and rank > 0:
                    served.append((now_ms - joined_ms) / 1000)
            elif aside is not None:
                redis.in_flight.pop(room, None)
                redis.waiting.pop(room, None)
                if aside.why == Why.RELEASED:
                    redis.asides[room] = (aside, now_ms + RELEASED_TTL_MS)
            elif rank is None and now_ms - joined_ms >= self._grace_ms:
                record = redis.records.get(room)
                redis.waiting[room] = joined_ms - (record.priority if record else 0) * PRIORITY_LEVEL_MS
        in_order = sorted(redis.callers.items(), key=lambda item: (item[1], item[0]))
        calls = tuple(
            read_call(
                room,
                str(joined_ms),
                str(redis.waiting.get(room, "")),
                claims[room],
                None if claims[room] else redis.aside(room),
                now_ms,
                self._before.get(room),
            )
            for room, joined_ms in in_order
        )
        self._before = {call.room: call for call in calls}
        live = {room: claim for room, claim in claims.items() if claim and claim.state == ClaimState.LIVE}
        abandoned = len(self._queued - redis.callers.keys())
        self._queued = set(redis.waiting)
        return Snapshot(
            now_ms,
            calls,
            tuple(served),
            overdue=frozenset(r for r, c in live.items() if now_ms - c.renewed_ms > RENEWAL_OVERDUE_MS),
            not_listening=frozenset(c.job for c in claims.values() if c and c.job not in redis.listening),
            in_trouble=any(c.trouble for c in live.values()),
            server=redis.server,
            abandoned=abandoned,
        )

    async def take(self, limit: int, *, most: int = 1, for_ms: int = DISPATCH_TTL_MS) -> list[str]:
        redis, now_ms = self.redis, self.redis.now_ms()
        redis.in_flight = {room: until for room, until in redis.in_flight.items() if until > now_ms}
        able = [room for room in redis.waiting if room not in redis.in_flight and redis.claim(room) is None]
        able.sort(key=lambda room: (redis.waiting[room], room))
        taken = able[: max(0, min(most, limit - len(redis.in_flight)))]
        redis.in_flight |= dict.fromkeys(taken, now_ms + for_ms)
        return taken

    async def postpone(self, room: str, after_ms: int, now_ms: int) -> None:
        self.redis.now_ms()
        if room in self.redis.in_flight:
            self.redis.in_flight[room] = now_ms + after_ms

    async def caller_joined(self, room: str, room_sid: str = "") -> None:
        await self.apply_listing(0, [(room, 0, room_sid)], [])

    async def caller_left(self, room: str) -> None:
        await self.apply_listing(0, [], [room])

    async def mark_removing(self, room: str, job: str) -> None:
        self.redis.now_ms()
        self.redis.removing[room] = job

    async def neighbour_here(self, room: str, room_sid: str = "") -> None:
        redis, now_ms = self.redis, self.redis.now_ms()
        aside = redis.aside(room)
        ours = aside is not None and _same_room(aside.room_sid, room_sid)
        if aside is None or not ours:
            aside = Aside(Why.NEIGHBOUR, room_sid, "", now_ms)
        if aside.why == Why.NEIGHBOUR:
            redis.asides[room] = (aside, now_ms + NEIGHBOUR_TTL_MS)

    async def neighbour_gone(self, room: str) -> None:
        aside = self.redis.aside(room)
        if aside is not None and aside.why == Why.NEIGHBOUR:
            del self.redis.asides[room]

    async def want_agent(self, room: str) -> bool:
        self.redis.now_ms()
        return self.redis.asides.pop(room, None) is not None

    async def apply_listing(
        self, began_ms: int, here: Sequence[tuple[str, int, str]], gone: Iterable[str]
    ) -> list[str]:
        redis, now_ms = self.redis, self.redis.now_ms()
        for room, joined_ms, room_sid in here:
            redis.callers.setdefault(room, joined_ms if 0 < joined_ms <= now_ms else now_ms)
            aside = redis.aside(room)
            if aside is not None and not _same_room(aside.room_sid, room_sid):
                del redis.asides[room]
            redis.expected.discard(room)
        out = [r for r in gone if r in redis.callers and (not began_ms or redis.callers[r] < began_ms)]
        for room in out:
            redis.remove_caller(room)
            redis.left[room] = now_ms
        return out

    async def expect(self, rooms: Sequence[tuple[str, int]]) -> None:
        redis, now_ms = self.redis, self.redis.now_ms()
        for room, since_ms in rooms:
            if room not in redis.callers:
                redis.callers[room] = since_ms if 0 < since_ms <= now_ms else now_ms
                redis.expected.add(room)

    async def expected(self) -> frozenset[str]:
        self.redis.now_ms()
        return frozenset(self.redis.expected)

    async def left_ms(self, room: str) -> int:
        self.redis.now_ms()
        return self.redis.left.get(room, 0)

    async def claim(self, room: str) -> Claim | None:
        return self.redis.claim(room)

    async def fenced_jobs(self, room: str) -> frozenset[str]:
        self.redis.now_ms()
        return frozenset(self.redis.fenced.get(room, ()))

    async def handoffs(self, rooms: Sequence[str]) -> dict[str, Handoff]:
        return {room: handoff for room in rooms if (handoff := self.redis.handoff(room))}

    async def forget_conversation(self, room: str, room_sid: str) -> None:
        self.redis.now_ms()
        if self.redis.conversations.get(room) == room_sid:
            del self.redis.conversations[room]

    async def shorten_conversation_ttl(self, rooms: Iterable[str]) -> None:
        self.redis.now_ms()
        self.redis.shortened += rooms

    async def room_finished(self, room: str, room_sid: str) -> bool:
        redis = self.redis
        claim = redis.claim(room)
        if claim is not None and room_sid and claim.room_sid and claim.room_sid != room_sid:
            return False
        for names in (redis.claims, redis.open_jobs, redis.records, redis.handoffs):
            names.pop(room, None)
        if not room_sid or redis.conversations.get(room) in (None, room_sid):
            redis.conversations.pop(room, None)
        aside = redis.aside(room)
        if aside is not None and _same_room(aside.room_sid, room_sid):
            del redis.asides[room]
        redis.remove_caller(room)
        return True

    async def save_record(self, record: CallRecord) -> None:
        self.redis.now_ms()
        self.redis.records[record.room] = record

    async def mark_ended(self, room: str) -> None:
        self.redis.now_ms()
        self.redis.ended.add(room)

    async def ended_rooms(self, rooms: Sequence[str]) -> frozenset[str]:
        self.redis.now_ms()
        return frozenset(rooms) & self.redis.ended

    async def records(self, rooms: Sequence[str]) -> dict[str, CallRecord]:
        self.redis.now_ms()
        return {room: self.redis.records[room] for room in rooms if room in self.redis.records}
