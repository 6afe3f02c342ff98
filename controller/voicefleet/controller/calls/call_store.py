"""The calls of one region in Redis: callers, the queue of waiting calls, dispatches under way, call records.

Every method raises `UnknownStateError` when Redis does not answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from voicefleet.contract import codec
from voicefleet.contract.aside import NEIGHBOUR_TTL_MS
from voicefleet.contract.call_archive import Retention
from voicefleet.contract.calls import CALL_TTL_MS, CallRecord
from voicefleet.contract.claims import Claim, Handoff
from voicefleet.contract.keys import Keys
from voicefleet.contract.spans import trace_of_room
from voicefleet.controller.calls.call_archive import CallArchive
from voicefleet.controller.calls.scanning import Scanner
from voicefleet.controller.calls.snapshots import Snapshot, read_claim
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.call_log_store import CallLogStore
from voicefleet.runtime.redis.claim_store import ClaimStore
from voicefleet.runtime.redis.connection import RedisClient, Scripts, translate_redis_errors
from voicefleet.runtime.redis.scripts import AsideChange, Callers, QueueTake, RoomFinished, TranscriptForget
from voicefleet.runtime.redis.values import read_value

DISPATCH_TTL_MS = 1_500
"""A dispatch without a claim after this counts as lost: LiveKit answers 200 to those it drops, and may offer the call
to a worker that hangs. A second one in the same room is harmless: the claim decides."""

VANISHED_TRANSCRIPT_MS = 60_000
"""The conversation of a room that is gone without a word: its caller may come back into a room of the same name."""

RECORDS_AT_ONCE = 1_000

TAKEN_AT_ONCE = 500
"""Calls taken from the queue by one command."""

REMOVING_TTL_MS = 30_000
"""LiveKit puts an agent out within milliseconds; a process that stands still learns of it later."""

LEFT_KEPT_MS = 3_600_000
"""So long a room is remembered whose last caller left: LiveKit closes an empty room long before."""

ENDED_MS = 900_000
"""A call ended on purpose is remembered for so long; see `limits.OVER_S`."""

log = get_logger(__name__)


class CallStore:
    """The calls of `region`.

    Args:
        grace_ms: a caller without a claim for longer is a waiting call.
        retention: of past calls.
    """

    def __init__(
        self, redis: RedisClient, scripts: Scripts, region: str, *, grace_ms: int, retention: Retention | None = None
    ) -> None:
        self._redis = redis
        self._scripts = scripts
        self._keys = Keys(region)
        self.region = region
        self.claims = ClaimStore(scripts, region)
        self.logs = CallLogStore(redis, scripts, region)
        self.archive = CallArchive(redis, scripts, region, self.logs, retention or Retention())
        self.scanner = Scanner(scripts, region, grace_ms=grace_ms)

    @property
    def _queue(self) -> list[str]:
        return [self._keys.callers, self._keys.waiting, self._keys.inflight]

    @property
    def _expecting(self) -> list[str]:
        return [self._keys.expected, self._keys.left]

    async def scan(self) -> Snapshot:
        """Bring the queue up to date and return it. Costs what changed since the last scan, not what there is."""
        return await self.scanner.scan()

    async def take(self, limit: int, *, most: int = 1, for_ms: int = DISPATCH_TTL_MS) -> list[str]:
        """The waiting calls to serve next, the first of the queue first, at most `TAKEN_AT_ONCE`.

        Args:
            limit: dispatches that may be under way at once, over all replicas.
            most: calls to take now.
            for_ms: so long all replicas leave them alone.
        """
        keys = [self._keys.waiting, self._keys.inflight]
        args = QueueTake(
            claim_prefix=self._keys.claim_prefix, free_slots=limit, alone_ms=for_ms, most=min(most, TAKEN_AT_ONCE)
        )
        return [str(room) for room in await self._scripts.run(keys, args)]

    async def postpone(self, room: str, after_ms: int, now_ms: int) -> None:
        """Leave a taken call alone for `after_ms` more."""
        with translate_redis_errors():
            await self._redis.zadd(self._keys.inflight, {room: now_ms + after_ms}, xx=True)

    async def caller_joined(self, room: str, room_sid: str = "") -> None:
        """A caller joined just now. Saying it again changes nothing."""
        await self._change([(room, 0, room_sid)], [], 0)

    async def caller_left(self, room: str) -> None:
        """The last caller of `room` is gone."""
        await self._change([], [room], 0)

    async def apply_listing(
        self, began_ms: int, here: Sequence[tuple[str, int, str]], gone: Iterable[str]
    ) -> list[str]:
        """Take over a listing that began at `began_ms`: (room, joined_ms, room_sid) of callers new to us, rooms without
        any.

        Returns:
            The rooms that were taken out.
        """
        return await self._change(here, gone, began_ms)

    async def mark_removing(self, room: str, job: str) -> None:
        """The agent of `job` is going to be removed from `room`, and not by the team: that releases no call."""
        with translate_redis_errors():
            await self._redis.set(self._keys.removing(room), job, px=REMOVING_TTL_MS)

    async def neighbour_here(self, room: str, room_sid: str = "") -> None:
        """An agent of the team's own serves the call in `room`. To be said again within `NEIGHBOUR_TTL_MS`."""
        await self._aside(room, room_sid, "neighbour_here")
        await self.logs.note([room], {"e": "neighbour"}, "here")

    async def neighbour_gone(self, room: str) -> None:
        """No agent of the team's own is in `room` (any more): its call waits like any other."""
        await self._aside(room, "", "neighbour_gone")

    async def want_agent(self, room: str) -> bool:
        """Somebody asks for an agent in `room`, whose call was set aside. False: it was not."""
        return await self._aside(room, "", "wanted")

    async def _aside(self, room: str, room_sid: str, change: str) -> bool:
        args = AsideChange(room=room, room_sid=room_sid, change=change, neighbour_ttl_ms=NEIGHBOUR_TTL_MS)
        return bool(await self._scripts.run([self._keys.aside(room), self._keys.changed], args))

    async def expect(self, rooms: Sequence[tuple[str, int]]) -> None:
        """Calls whose callers are still to come: (room, since_ms). They wait for an agent as if the caller were there,
        until a caller has come and left."""
        await self._change([], [], 0, expect=rooms)

    async def expected(self) -> frozenset[str]:
        """The rooms that are in the queue although no caller was seen there yet."""
        with translate_redis_errors():
            return frozenset(str(room) for room in await self._redis.zrange(self._keys.expected, 0, -1))

    async def left_ms(self, room: str) -> int:
        """When the last caller of `room` was found gone, of the last hour; 0: none was."""
        with translate_redis_errors():
            return int(await self._redis.zscore(self._keys.left, room) or 0)

    async def _change(
        self,
        add: Sequence[tuple[str, int, str]],
        gone: Iterable[str],
        began_ms: int,
        *,
        expect: Sequence[tuple[str, int]] = (),
    ) -> list[str]:
        args = Callers(
            add=list(add),
            expect=list(expect),
            gone=list(gone),
            began_ms=began_ms,
            left_kept_ms=LEFT_KEPT_MS,
            aside_prefix=self._keys.aside_prefix,
        )
        out, joined = await self._scripts.run([*self._queue, self._keys.changed, *self._expecting], args)
        for room, call, trace in joined:
            log.info(
                "caller joined",
                region=self.region,
                room=room,
                call=call,
                trace_id=trace or trace_of_room(call.partition(".")[0]),
            )
        return list(out)

    async def claim(self, room: str) -> Claim | None:
        """Who has the call in `room` now."""
        with translate_redis_errors():
            text = await self._redis.get(self._keys.claim(room))
        return read_claim(text or "")

    async def fenced_jobs(self, room: str) -> frozenset[str]:
        """Jobs that must never hold the call in `room` again."""
        with translate_redis_errors():
            return frozenset(str(job) for job in await self._redis.smembers(self._keys.fenced(room)))

    async def handoffs(self, rooms: Sequence[str]) -> dict[str, Handoff]:
        """The handoffs under way in `rooms`."""
        if not rooms:
            return {}
        with translate_redis_errors():
            texts = await self._redis.mget([self._keys.handoff(room) for room in rooms])
        found = zip(rooms, (read_value(Handoff, text) for text in texts), strict=True)
        return {room: handoff for room, handoff in found if handoff is not None}

    async def forget_conversation(self, room: str, room_sid: str) -> None:
        """Nobody may carry on with what was said in `room` while it had this sid."""
        keys = [self._keys.transcript(room), self._keys.transcript_of(room)]
        await self._scripts.run(keys, TranscriptForget(room_sid=room_sid))

    async def shorten_conversation_ttl(self, rooms: Iterable[str]) -> None:
        """Rooms that are gone although nobody said so: keep their conversations only a little longer."""
        with translate_redis_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for room in rooms:
                    pipe.pexpire(self._keys.transcript(room), VANISHED_TRANSCRIPT_MS)
                    pipe.pexpire(self._keys.transcript_of(room), VANISHED_TRANSCRIPT_MS)
                await pipe.execute()

    async def room_finished(self, room: str, room_sid: str) -> bool:
        """The room is over. False when its name belongs to a newer room by now."""
        k = self._keys
        room_keys = [k.claim(room), k.call(room), k.transcript(room), k.handoff(room)]
        keys = [
            *room_keys,
            k.open_claims,
            k.ledger,
            *self._queue,
            k.changed,
            k.renewed,
            k.transcript_of(room),
            k.expected,
            k.aside(room),
        ]
        return bool(await self._scripts.run(keys, RoomFinished(room=room, room_sid=room_sid)))

    async def save_record(self, record: CallRecord) -> None:
        """Keep what is known of a call until its end, or a day."""
        with translate_redis_errors():
            await self._redis.set(self._keys.call(record.room), codec.dump(record), px=CALL_TTL_MS)

    async def mark_ended(self, room: str) -> None:
        """The call in `room` is ended on purpose: whoever joins there again with an old ticket is sent away."""
        with translate_redis_errors():
            await self._redis.set(self._keys.ended(room), "1", px=ENDED_MS)

    async def ended_rooms(self, rooms: Sequence[str]) -> frozenset[str]:
        """Those of `rooms` whose call was ended on purpose."""
        if not rooms:
            return frozenset()
        with translate_redis_errors():
            found = await self._redis.mget([self._keys.ended(room) for room in rooms])
        return frozenset(room for room, text in zip(rooms, found, strict=True) if text)

    async def records(self, rooms: Sequence[str]) -> dict[str, CallRecord]:
        """What is known of the calls in `rooms`; a call that came without us has no record, and one
        whose record this release cannot read counts as such a call."""
        found: dict[str, CallRecord] = {}
        for start in range(0, len(rooms), RECORDS_AT_ONCE):
            part = rooms[start : start + RECORDS_AT_ONCE]
            with translate_redis_errors():
                texts = await self._redis.mget([self._keys.call(room) for room in part])
            for room, text in zip(part, texts, strict=True):
                if (record := read_value(CallRecord, text)) is not None:
                    found[room] = record
        return found
