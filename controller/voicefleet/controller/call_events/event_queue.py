"""The stream of a region's call events in Redis, and how far each receiver was told.

Every method raises `UnknownStateError` when Redis does not answer.
A receiver's place is an id up to which all is settled, and the ids after it that were settled out of turn: a controller
that takes over, or comes back after a kill, goes on from there, and repeats at most what was under way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from voicefleet.contract.call_events import CallEvent, EventType
from voicefleet.contract.keys import Keys
from voicefleet.controller.call_events.outbox import Entry
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.connection import RedisClient, Scripts, translate_redis_errors
from voicefleet.runtime.redis.scripts import Lease

WANTED_TTL_S = 86_400
"""What a controller said of its receivers holds for so long after the last one was there. Then, and in a Redis that
lost its data, events are kept, up to the stream's length."""
LEASE_TTL_MS = 6_000

Place = tuple[int, int]
START: Place = (0, 0)

log = get_logger(__name__)


class EventQueue:
    """The events of `region`.

    Args:
        holder: who tells them, if it has the lease: another one for each process.
    """

    def __init__(self, redis: RedisClient, scripts: Scripts, region: str, holder: str) -> None:
        self._redis = redis
        self._scripts = scripts
        self._keys = Keys(region)
        self._region = region
        self._holder = holder

    async def want(self, wanted: bool) -> None:
        """Have events kept from now on, or not any more."""
        with translate_redis_errors():
            await self._redis.set(self._keys.call_events_wanted, "1" if wanted else "0", ex=WANTED_TTL_S)

    async def lease(self, ttl_ms: int = LEASE_TTL_MS) -> bool:
        """Take or keep the right to tell this region's events, for `ttl_ms`; 0: give it up. False: another has it."""
        args = Lease(holder=self._holder, ttl_ms=ttl_ms)
        return bool(await self._scripts.run([self._keys.call_events_lease], args))

    async def place(self, receiver: str) -> tuple[Place, frozenset[Place]]:
        """Up to where the receiver was told all, and what it was told beyond."""
        with translate_redis_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.get(self._keys.call_events_told(receiver))
                pipe.smembers(self._keys.call_events_ahead(receiver))
                told, ahead = await pipe.execute()
        return read_place(told or "0-0"), frozenset(read_place(text) for text in ahead)

    async def read(self, after: Place, most: int) -> list[Entry | Place]:
        """The next entries of the stream; the place alone of one that cannot be read."""
        with translate_redis_errors():
            found: Any = await self._redis.xrange(self._keys.call_events, f"({written(after)}", "+", count=most)
        return [self._entry(read_place(id), fields) for id, fields in found or ()]

    async def settle(self, receiver: str, upto: Place, ahead: Iterable[Place], gone: Iterable[Place]) -> None:
        """The receiver's place is this now; `gone` are those of its `ahead` that `upto` covers."""
        key = self._keys.call_events_ahead(receiver)
        with translate_redis_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                if more := [written(place) for place in ahead]:
                    pipe.sadd(key, *more)
                pipe.set(self._keys.call_events_told(receiver), written(upto))
                if old := [written(place) for place in gone]:
                    pipe.srem(key, *old)
                await pipe.execute()

    async def trim(self, before: Place) -> None:
        """Every receiver was told what is older."""
        with translate_redis_errors():
            await self._redis.xtrim(self._keys.call_events, minid=written(before), approximate=True)

    def _entry(self, place: Place, fields: dict[str, str]) -> Entry | Place:
        try:
            data = json.loads(fields["data"])
            event = CallEvent(
                id=fields["id"],
                type=EventType(fields["type"]),
                call=fields["call"],
                region=self._region,
                at_ms=int(fields["at_ms"]),
                data=data if isinstance(data, dict) else {},
            )
        except (KeyError, ValueError, RecursionError) as error:
            log.warning("a call event cannot be read", region=self._region, error=type(error).__name__)
            return place
        return Entry(place, event)


def read_place(text: str) -> Place:
    ms, _, number = text.partition("-")
    return int(ms), int(number or 0)


def written(place: Place) -> str:
    return f"{place[0]}-{place[1]}"
