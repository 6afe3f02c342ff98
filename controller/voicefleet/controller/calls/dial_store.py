"""Outbound calls of one region in Redis. Every method raises `UnknownStateError` when Redis does not answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from voicefleet.contract import codec
from voicefleet.contract.dials import DIAL_TTL_MS, Dial, DialState, Outcome
from voicefleet.contract.keys import Keys
from voicefleet.runtime.redis.connection import RedisClient, Scripts, redis_now_ms, translate_redis_errors
from voicefleet.runtime.redis.scripts import DialPut, TrunkTake
from voicefleet.runtime.redis.values import read_value

DUE_AT_ONCE = 200
"""Looked at in one turn; the others are due a moment later."""
NEVER = -1


class DialStore:
    """The outbound calls of `region`."""

    def __init__(self, redis: RedisClient, scripts: Scripts, region: str) -> None:
        self._redis = redis
        self._scripts = scripts
        self._keys = Keys(region)

    async def now_ms(self) -> int:
        """Redis's clock."""
        return await redis_now_ms(self._redis)

    async def get(self, room: str) -> Dial | None:
        """The outbound call in `room`; None when there is none, or an inbound one."""
        return (await self.get_all([room])).get(room)

    async def get_all(self, rooms: Sequence[str]) -> dict[str, Dial]:
        """Those of `rooms` that are outbound calls."""
        if not rooms:
            return {}
        with translate_redis_errors():
            texts = await self._redis.mget([self._keys.dial(room) for room in rooms])
        found = zip(rooms, (read_value(Dial, text) for text in texts), strict=True)
        return {room: dial for room, dial in found if dial is not None}

    async def count(self) -> int:
        """Outbound calls that are not over."""
        with translate_redis_errors():
            return int(await self._redis.zcard(self._keys.dials))

    async def due(self, now_ms: int) -> list[Dial]:
        """Those that are to be looked at now, the one that is longest due first."""
        with translate_redis_errors():
            found = await self._redis.zrangebyscore(self._keys.dials, "-inf", now_ms, start=0, num=DUE_AT_ONCE)
        rooms = [str(room) for room in found]
        dials = await self.get_all(rooms)
        if lost := [room for room in rooms if room not in dials]:
            with translate_redis_errors():
                await self._redis.zrem(self._keys.dials, *lost)
        return list(dials.values())

    async def create(self, dial: Dial) -> bool:
        """Keep a new one. False: there is one in that room."""
        return await self._put(dial, NEVER)

    async def put(self, dial: Dial) -> Dial | None:
        """Keep what `dial` is now; the kept value. None: another replica changed it since it was read."""
        changed = replace(dial, rev=dial.rev + 1)
        return changed if await self._put(changed, dial.rev) else None

    async def _put(self, dial: Dial, rev: int) -> bool:
        args = DialPut(
            room=dial.room,
            rev=rev,
            dial=codec.dump(dial),
            active=dial.active,
            due_ms=dial.due_ms,
            holds=dial.admitted,
            ttl_ms=DIAL_TTL_MS,
        )
        keys = [self._keys.dial(dial.room), self._keys.dials, self._keys.trunk(dial.order.trunk)]
        return bool(await self._scripts.run(keys, args))

    async def take_place(self, dial: Dial, concurrent: int) -> bool:
        """A place on its trunk for `dial`, until it is over; False while as many calls have one as may."""
        return not await self._take(dial, concurrent, 0)

    async def leave_place(self, dial: Dial) -> None:
        """It took a place, and was changed by somebody else meanwhile: keep the place only if that one has it too."""
        if (now := await self.get(dial.room)) is None or not now.admitted:
            with translate_redis_errors():
                await self._redis.zrem(self._keys.trunk(dial.order.trunk), dial.room)

    async def dial_after_ms(self, dial: Dial, per_s: float) -> int:
        """0: the number may be dialled now, and the next one of this trunk `1 / per_s` later. Else ask again then."""
        return await self._take(dial, 0, max(1, round(1000 / per_s)))

    async def _take(self, dial: Dial, concurrent: int, every_ms: int) -> int:
        args = TrunkTake(room=dial.room, concurrent=concurrent, every_ms=every_ms, kept_ms=DIAL_TTL_MS)
        keys = [self._keys.trunk(dial.order.trunk), self._keys.trunk_next(dial.order.trunk)]
        return int(await self._scripts.run(keys, args))

    async def cancel(self, room: str) -> None:
        """Whoever ordered the call in `room` wants it no more. Nothing happens when there is no dial under way."""
        while (dial := await self.get(room)) is not None and DialState(dial.state).pending:
            ended = replace(dial, order=replace(dial.order, attempts=dial.attempt))
            if await self.put(ended.over(Outcome(DialState.FAILED, detail="cancelled"), await self.now_ms())):
                return
