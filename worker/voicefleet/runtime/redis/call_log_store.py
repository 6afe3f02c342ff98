"""The logs of a region's calls in Redis: read, and added to by the jobs and the controllers.

What a log holds is told in `contract.call_log`; `controller.calls.call_archive` closes and keeps it.
Every method raises `UnknownStateError` when Redis does not answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from voicefleet.contract.call_events import CallSummary, EndReason
from voicefleet.contract.call_log import CallLog, summarize
from voicefleet.contract.keys import Keys
from voicefleet.runtime.redis.connection import RedisClient, Scripts, redis_now_ms, translate_redis_errors
from voicefleet.runtime.redis.scripts import CallFacts, CallNote, CallReason, CallsDue

LOOK_EVERY_MS = 60_000
"""A call that goes on is looked at so often; whatever may end it has it looked at sooner."""
AGAIN_MS = 5_000
"""A call that is over is left to the replica that saw it first for so long."""
LOOKS_AT_ONCE = 200
NOTES_AT_ONCE = 200


class CallLogStore:
    """The logs of `region`."""

    def __init__(self, redis: RedisClient, scripts: Scripts, region: str) -> None:
        self._redis = redis
        self._scripts = scripts
        self._keys = Keys(region)
        self._region = region

    async def newest(self, room: str) -> CallLog | None:
        """The newest call in a room of this name; None: none is known."""
        with translate_redis_errors():
            call = await self._redis.get(self._keys.call_of(room))
        return await self.read(str(call)) if call else None

    async def read(self, call: str) -> CallLog | None:
        """The call with this id."""
        with translate_redis_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hgetall(self._keys.call_log(call))
                pipe.lrange(self._keys.call_facts(call), 0, -1)
                log, facts = await pipe.execute()
        return CallLog.read(call, self._region, log, facts)

    async def now_ms(self) -> int:
        """Redis's clock."""
        return await redis_now_ms(self._redis)

    async def summary(self, room: str, room_sid: str, *, over: bool = False) -> CallSummary | None:
        """The newest call in `room`, as it stands; None: none is known, or it is of another room with this name.

        Args:
            over: the call is over, and only its log does not say so yet.
        """
        log = await self.newest(room)
        if log is None or log.call.partition(".")[0] != room_sid:
            return None
        return summarize(log, await self.now_ms(), over=over)

    async def first_to_end(self, room: str, room_sid: str) -> bool:
        """Whether nobody has run the call's `on_call_end` before. False also where the call is not known."""
        log = await self.newest(room)
        if log is None or log.call.partition(".")[0] != room_sid:
            return False
        with translate_redis_errors():
            return bool(await self._redis.hsetnx(self._keys.call_log(log.call), "end_hook", "1"))

    async def add_facts(
        self,
        room: str,
        room_sid: str,
        *,
        job: str,
        tier: str,
        language: str,
        facts: Sequence[dict[str, Any]],
        trace: str = "",
    ) -> bool:
        """What a job has to tell: ``e`` what it is, ``ago_ms`` how long ago, and more. False: nobody knows that the job
        has, or had, the call."""
        args = CallFacts(
            room=room, room_sid=room_sid, job=job, tier=tier, language=language, trace=trace, facts=list(facts)
        )
        return bool(await self._scripts.run([self._keys.open_calls], args))

    async def note(self, rooms: Sequence[str], fact: dict[str, Any], state: str) -> None:
        """What a controller sees of the open calls in `rooms`: ``e`` what it is, and more. It is noted once until it is
        said with another `state`, and of one kind at most `call_log.MOST_NOTES` times."""
        for start in range(0, len(rooms), NOTES_AT_ONCE):
            part = list(rooms[start : start + NOTES_AT_ONCE])
            await self._scripts.run([self._keys.open_calls], CallNote(rooms=part, fact=fact, state=state))

    async def note_reason(self, room: str, reason: EndReason, room_sid: str = "", *, over: bool = False) -> bool:
        """The call is about to be ended, for this reason; the first one that is given stays.

        Args:
            over: its room is gone already.
        """
        args = CallReason(room=room, room_sid=room_sid, reason=reason.value, over=over)
        return bool(await self._scripts.run([self._keys.open_calls], args))

    async def over(self) -> list[str]:
        """Ids of calls that are over, and not closed yet."""
        args = CallsDue(
            claim_prefix=self._keys.claim_prefix, look_every_ms=LOOK_EVERY_MS, again_ms=AGAIN_MS, most=LOOKS_AT_ONCE
        )
        return [str(call) for call in await self._scripts.run([self._keys.open_calls, self._keys.callers], args)]
