"""A pool's learned laws and announced campaigns in Redis, for every controller that is or will be there.

Every method raises `UnknownStateError` when Redis does not answer.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from voicefleet.contract import codec
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.keys import Keys
from voicefleet.runtime.redis import RedisClient, answered

LAWS_TTL_S = 30 * 86_400


@dataclass(frozen=True, slots=True)
class CampaignRecord:
    """A rise of the rate, on Redis's clock."""

    start_ms: int
    end_ms: int
    rate: float
    """Additional calls per second."""
    id: str = ""


class LawBook:
    """What is known of `region`'s calls beyond the present ones."""

    def __init__(self, redis: RedisClient, region: str) -> None:
        self._redis = redis
        self._keys = Keys(region)

    async def read(self) -> str | None:
        """The laws that the last leader left, as `scaling.memory` dumped them; None: none."""
        with answered():
            text = await self._redis.get(self._keys.laws)
        if text is None:
            return None
        return text.decode() if isinstance(text, bytes) else str(text)

    async def write(self, text: str) -> None:
        with answered():
            await self._redis.set(self._keys.laws, text, ex=LAWS_TTL_S)

    async def announce(self, campaign: CampaignRecord) -> CampaignRecord:
        """Keep a campaign until it is over. Returns it with its id."""
        known = CampaignRecord(campaign.start_ms, campaign.end_ms, campaign.rate, secrets.token_hex(4))
        with answered():
            await self._redis.zadd(self._keys.campaigns, {codec.dump(known): known.end_ms})
        return known

    async def now_ms(self) -> int:
        """Redis's clock."""
        with answered():
            seconds, micros = await self._redis.time()
            return int(seconds) * 1000 + int(micros) // 1000

    async def campaigns(self, now_ms: int) -> tuple[CampaignRecord, ...]:
        """Those that are not over. One that this release cannot read is left out."""
        with answered():
            await self._redis.zremrangebyscore(self._keys.campaigns, "-inf", now_ms)
            texts = await self._redis.zrange(self._keys.campaigns, 0, -1)
        found = []
        for text in texts:
            try:
                found.append(codec.load(CampaignRecord, text if isinstance(text, bytes) else str(text)))
            except UnknownStateError:
                continue
        return tuple(found)
