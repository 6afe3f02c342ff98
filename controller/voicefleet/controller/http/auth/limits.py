"""Limits of API keys, shared by all controller replicas through Redis.

Requests: with Redis away, each replica counts its own. Calls at once: a ticket reserves one, a join confirms it, the
end gives it back. The settings' bounds hold for every key that has none of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from voicefleet.contract.calls import TICKET_TTL_S
from voicefleet.contract.keys import PREFIX
from voicefleet.controller.http.auth.keys import KeyLimits, KeyRing
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.redis.connection import REDIS_FAILURES, RedisClient, Scripts
from voicefleet.runtime.redis.scripts import CallCount, CallOver

WINDOW_S = 60
PENDING_S = TICKET_TTL_S + 60 + 5
"""A ticket counts as a call for as long as its caller may still join: LiveKit allows a minute more."""
OVER_S = 900
"""A call that is over is remembered for so long: LiveKit renews the token of a caller who is in a room every few
minutes, for 10 minutes, and it lets in again, into a new room of the same name."""
CLOCK_ASKED_EVERY_S = 5.0
_REDIS_LIMIT_S = 0.5
"""`POST /v1/calls` must not wait for a slow Redis."""

Gone = Callable[[str, str], bool]
"""Whether the call in (region, room) is surely over."""


class Limiter:
    """Requests per minute and calls at once, for each key by its name."""

    def __init__(self, redis: RedisClient, clock: Clock, *, per_minute: int, calls: int) -> None:
        self._redis = redis
        self._scripts = Scripts(redis)
        self._clock = clock
        self._every = KeyLimits(calls, per_minute)
        self._own: dict[str, KeyLimits] = {}
        self._local: dict[str, tuple[int, int]] = {}
        self._asked: tuple[float, float] | None = None
        """When Redis was asked for its time last, and the answer, seconds."""

    def take(self, ring: KeyRing) -> None:
        """The keys, with bounds of their own, are these from now on."""
        self._own = {key.name: key.limits for key in ring.keys}

    def most_calls(self, key: str) -> int:
        """Most calls of `key` at once; 0: no bound."""
        own = self._own.get(key, self._every).calls
        return (self._every.calls or 0) if own is None else own

    def per_minute(self, key: str) -> int:
        """Most requests of `key` for calls a minute."""
        own = self._own.get(key, self._every).requests
        return (self._every.requests or 0) if own is None else own

    async def request(self, key: str) -> float | None:
        """Count one request; a key may be counted apart by what it does, ``NAME:METHOD``. None when it is allowed, else
        the seconds until the next one will be."""
        try:
            async with asyncio.timeout(_REDIS_LIMIT_S):
                window, passed = divmod(int(await self._redis_now_s()), WINDOW_S)
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
        return None if count <= self.per_minute(key.partition(":")[0]) else float(WINDOW_S - passed)

    async def _redis_now_s(self) -> float:
        """Redis's clock, which all replicas share: asked now and then, and reckoned between."""
        if self._asked is None or self._clock.monotonic() - self._asked[0] > CLOCK_ASKED_EVERY_S:
            seconds, micros = await self._redis.time()
            self._asked = self._clock.monotonic(), int(seconds) + int(micros) / 1_000_000
        at_s, then_s = self._asked
        return then_s + self._clock.monotonic() - at_s

    async def reserve(self, key: str, region: str, room: str, gone: Gone) -> bool:
        """Count the ticket for a new call of `key`, unless that would be one call too many.

        Returns:
            False when the key has as many calls as it may.

        Raises:
            One of REDIS_FAILURES, or UnknownStateError: Redis is away or slow; the call may be counted or not.
        """
        async with asyncio.timeout(_REDIS_LIMIT_S):
            return await self._count(key, region, room, gone, ticket=True)

    async def confirm(self, key: str, region: str, room: str, gone: Gone) -> bool:
        """Count a call of `key` whose caller is in the room; saying it again changes nothing.

        Returns:
            False when the call was over before and the key has as many calls as it may: its ticket is used again.

        Raises: as `reserve`.
        """
        return await self._count(key, region, room, gone, ticket=False)

    async def release(self, key: str, region: str, rooms: Collection[str]) -> None:
        """Calls of `key` are over. Raises one of REDIS_FAILURES, or UnknownStateError."""
        if key and rooms:
            await self._over(key, [f"{region}/{room}" for room in rooms])

    async def _count(self, key: str, region: str, room: str, gone: Gone, *, ticket: bool) -> bool:
        for last in (False, True):
            args = CallCount(member=f"{region}/{room}", most=self.most_calls(key), ticket=ticket)
            if await self._scripts.run(_keys(key), args):
                return True
            # Those that are over without a word of LiveKit's are only looked for when they would make a difference.
            if last or not await self._clear(key, gone):
                break
        return False

    async def _clear(self, key: str, gone: Gone) -> bool:
        """Whether any call of `key` was over and is not counted any more."""
        seconds, _ = await self._redis.time()
        counted = await self._redis.zrangebyscore(_keys(key)[0], "-inf", int(seconds) - PENDING_S)
        over = [str(member) for member in counted if gone(*str(member).split("/", 1))]
        if over:
            await self._over(key, over)
        return bool(over)

    async def _over(self, key: str, members: Collection[str]) -> None:
        await self._scripts.run(_keys(key), CallOver(members=list(members), kept_s=OVER_S))


def _keys(key: str) -> list[str]:
    """The calls of `key` with the time they were counted at, and those that are over with the time of that."""
    return [f"{PREFIX}:calls:{{{key}}}", f"{PREFIX}:over:{{{key}}}"]
