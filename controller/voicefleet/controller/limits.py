"""Limits of API keys, shared by all controller replicas through Redis; with Redis away, each replica's own."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from voicefleet.contract.keys import PREFIX
from voicefleet.controller.calls import Snapshot
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.redis import REDIS_FAILURES, RedisClient

WINDOW_S = 60
PENDING_S = 60
"""A ticket counts as a call for this long before its caller joins."""
_REDIS_LIMIT_S = 0.5
"""`POST /v1/calls` must not wait for a slow Redis."""


class Limiter:
    """Requests per minute and calls at once, for each key by its name."""

    def __init__(self, redis: RedisClient, clock: Clock, *, per_minute: int, calls: int) -> None:
        self._redis = redis
        self._clock = clock
        self._per_minute = per_minute
        self._calls = calls
        self._local: dict[str, tuple[int, int]] = {}

    async def request(self, key: str) -> float | None:
        """Count one request. None when it is allowed, else the seconds until the next one will be."""
        try:
            async with asyncio.timeout(_REDIS_LIMIT_S):
                seconds, _ = await self._redis.time()
                window, passed = divmod(int(seconds), WINDOW_S)
                name = f"{PREFIX}:requests:{{{key}}}:{window}"
                async with self._redis.pipeline(transaction=True) as pipe:
                    pipe.incr(name)
                    pipe.expire(name, 2 * WINDOW_S)
                    count, _ = await pipe.execute()
        except REDIS_FAILURES:
            window, passed = divmod(int(self._clock.monotonic()), WINDOW_S)
            before = self._local.get(key, (window, 0))
            count = before[1] + 1 if before[0] == window else 1
            self._local[key] = (window, count)
        return None if count <= self._per_minute else float(WINDOW_S - passed)

    async def reserve(self, key: str, region: str, room: str, now: Mapping[str, Snapshot | None]) -> bool:
        """Count a new call of `key`, unless that would be one too many.

        Args:
            now: every region's calls, None where they are unknown; a call in such a region is not over.

        Returns:
            False when the key has as many calls as it may.

        Raises:
            One of REDIS_FAILURES: Redis is away or slow, so nobody knows; the call is not counted.
        """
        async with asyncio.timeout(_REDIS_LIMIT_S):
            name = _calls_key(key)
            seconds, _ = await self._redis.time()
            # Counted first and checked after: two replicas may both refuse the last call, and never both allow it.
            await self._redis.zadd(name, {f"{region}/{room}": int(seconds)})
            refused = False
            # Those that are over without a word of LiveKit's are only looked for when they would make a difference.
            if await self._redis.zcard(name) > self._calls:
                found = [str(member) for member in await self._redis.zrange(name, 0, -1)]
                pending = await self._redis.zcount(name, int(seconds) - PENDING_S, "+inf")
                over = [member for member in found[: len(found) - pending] if _over(member, now)]
                refused = len(found) - len(over) > self._calls
                if refused:
                    over.append(f"{region}/{room}")
                if over:
                    await self._redis.zrem(name, *over)
            await self._redis.expire(name, 86_400)
        return not refused

    async def release(self, key: str, region: str, rooms: Collection[str]) -> None:
        """Calls of `key` are over. Raises one of REDIS_FAILURES."""
        if key and rooms:
            await self._redis.zrem(_calls_key(key), *(f"{region}/{room}" for room in rooms))


def _over(member: str, now: Mapping[str, Snapshot | None]) -> bool:
    """Whether the call `member` (``region/room``) is surely over."""
    where, _, room = member.partition("/")
    snapshot = now.get(where)
    return where not in now or (snapshot is not None and room not in snapshot.rooms)


def _calls_key(key: str) -> str:
    return f"{PREFIX}:calls:{{{key}}}"
