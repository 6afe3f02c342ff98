"""The models that a pool's leader learned, in Redis, for the next leader."""

from __future__ import annotations

from voicefleet.contract.keys import Keys
from voicefleet.runtime.redis.connection import RedisClient, translate_redis_errors

MODELS_TTL_S = 30 * 86_400


class ModelStore:
    """The learned models of `region`. Every method raises `UnknownStateError` when Redis does not answer."""

    def __init__(self, redis: RedisClient, region: str) -> None:
        self._redis = redis
        self._keys = Keys(region)

    async def read(self) -> str | None:
<<<<<<< HEAD
        """The laws that the last leader left, as `scaling.memory` dumped them; None: none."""
        with translate_redis_errors():
=======
        """What the last leader wrote, as `scaling.memory` dumped it; None: nothing."""
        with translate_redis_errors():
>>>>>>> main
            text = await self._redis.get(self._keys.models)
        if text is None:
            return None
        return text.decode() if isinstance(text, bytes) else str(text)

    async def write(self, text: str) -> None:
<<<<<<< HEAD
        with translate_redis_errors():
            await self._redis.set(self._keys.models, text, ex=LAWS_TTL_S)

    async def announce(self, campaign: CampaignRecord) -> CampaignRecord:
        """Keep a campaign until it is over. Returns it with its id."""
        known = CampaignRecord(campaign.start_ms, campaign.end_ms, campaign.rate, secrets.token_hex(4), campaign.key)
        with translate_redis_errors():
            await self._redis.zadd(self._keys.campaigns, {codec.dump(known): known.end_ms})
        return known

    async def take_back(self, campaign: str) -> bool:
        """Forget the campaign of this id. False when there is none."""
        with translate_redis_errors():
            for text in await self._redis.zrange(self._keys.campaigns, 0, -1):
                if (known := _read(text)) is not None and known.id == campaign:
                    return bool(await self._redis.zrem(self._keys.campaigns, str(text)))
        return False

    async def now_ms(self) -> int:
        """Redis's clock."""
        with translate_redis_errors():
            seconds, micros = await self._redis.time()
            return int(seconds) * 1000 + int(micros) // 1000

    async def campaigns(self, now_ms: int) -> tuple[CampaignRecord, ...]:
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
=======
        with translate_redis_errors():
            await self._redis.set(self._keys.models, text, ex=MODELS_TTL_S)
>>>>>>> main
