"""Announced campaigns in Redis, for every controller that is or will be there."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from voicefleet.contract import codec
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.keys import Keys
from voicefleet.runtime.redis.connection import RedisClient, redis_now_ms, translate_redis_errors


@dataclass(frozen=True, slots=True)
class CampaignRecord:
    """A rise of the rate, on Redis's clock."""

    start_ms: int
    end_ms: int
    rate: float
    """Additional calls per second."""
    id: str = ""
    key: str = ""
    """Name of the API key that announced it; empty: the settings, or an older release."""

    def concurrent_calls(self, mean_call_s: float) -> float:
        """Its calls that there will be at once, on average."""
        return self.rate * min(mean_call_s, (self.end_ms - self.start_ms) / 1000)

    def overlapping(self, others: Sequence[CampaignRecord]) -> tuple[CampaignRecord, ...]:
        """Those of `others` that run while this one does."""
        return tuple(c for c in others if c.start_ms < self.end_ms and c.end_ms > self.start_ms)


class CampaignStore:
    """The campaigns of `region`. Every method raises `UnknownStateError` when Redis does not answer."""

    def __init__(self, redis: RedisClient, region: str) -> None:
        self._redis = redis
        self._keys = Keys(region)

    async def announce(self, campaign: CampaignRecord) -> CampaignRecord:
        """Keep a campaign until it is over. Returns it with its id."""
        known = CampaignRecord(campaign.start_ms, campaign.end_ms, campaign.rate, secrets.token_hex(4), campaign.key)
        with translate_redis_errors():
            await self._redis.zadd(self._keys.campaigns, {codec.dump(known): known.end_ms})
        return known

    async def withdraw(self, campaign: str) -> bool:
        """Delete the campaign of this id. False when there is none."""
        with translate_redis_errors():
            for text in await self._redis.zrange(self._keys.campaigns, 0, -1):
                if (known := _read(text)) is not None and known.id == campaign:
                    return bool(await self._redis.zrem(self._keys.campaigns, str(text)))
        return False

    async def now_ms(self) -> int:
        """Redis's clock."""
        return await redis_now_ms(self._redis)

    async def current(self, now_ms: int) -> tuple[CampaignRecord, ...]:
        """Those that are not over. One that this release cannot read is left out."""
        with translate_redis_errors():
            await self._redis.zremrangebyscore(self._keys.campaigns, "-inf", now_ms)
            texts = await self._redis.zrange(self._keys.campaigns, 0, -1)
        return tuple(known for text in texts if (known := _read(text)) is not None)


def _read(text: Any) -> CampaignRecord | None:
    try:
        return codec.load(CampaignRecord, text if isinstance(text, bytes) else str(text))
    except UnknownStateError:
        return None
