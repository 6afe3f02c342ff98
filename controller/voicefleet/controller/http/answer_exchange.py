"""Tells the other replicas how this one answered requests for calls, and hears it of them.

A balancer spreads callers over the replicas: whoever asks one of them for a region's health wants to know of all who
were refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from voicefleet.contract import codec
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.keys import Keys
from voicefleet.controller.regions.refusals import KEPT_S, WINDOWS_S
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.redis.connection import RedisClient, redis_now_ms, translate_redis_errors
from voicefleet.runtime.redis.values import read_value

EVERY_S = 2.0
GONE_MS = 10_000
"""A replica that told nothing for so long is not heard any more."""


@dataclass(frozen=True, slots=True)
class Answers:
    """How one replica answered."""

    at_ms: int
    """On Redis's clock."""
    within: dict[str, dict[str, int]] = field(default_factory=dict)
    """Window in whole seconds -> result, as in `regions.refusals` -> answers."""


class AnswerExchange:
    """The exchange of `region`."""

    def __init__(self, region: Region, redis: RedisClient) -> None:
        self._region = region
        self._redis = redis
        self._key = Keys(region.name).answers

    async def run(self) -> None:
        """Exchange until cancelled. While Redis is away nobody is heard."""
        while True:
            try:
                await self.once()
            except UnknownStateError:
                self._region.refusals.hear(())
            await self._region.clock.sleep(EVERY_S)

    async def once(self) -> None:
        """Tell and hear once. Raises `UnknownStateError`."""
        refusals, replica = self._region.refusals, self._region.replica
        own = {f"{window_s:.0f}": dict(refusals.own(window_s)) for window_s in WINDOWS_S}
        now_ms = await redis_now_ms(self._redis)
        with translate_redis_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hset(self._key, replica, codec.dump(Answers(now_ms, own)))
                pipe.pexpire(self._key, round(KEPT_S * 1000))
                pipe.hgetall(self._key)
                *_, found = await pipe.execute()
            told = {str(name): read_value(Answers, text) for name, text in found.items()}
            heard = [a for name, a in told.items() if name != replica and a and now_ms - a.at_ms < GONE_MS]
            refusals.hear([{w: answers.within.get(f"{w:.0f}", {}) for w in WINDOWS_S} for answers in heard])
            gone = [name for name, a in told.items() if a is not None and now_ms - a.at_ms > KEPT_S * 1000]
            if gone:
                await self._redis.hdel(self._key, *gone)
