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
        """What the last leader wrote, as `scaling.policy_state` dumped it; None: nothing."""
        with translate_redis_errors():
            text = await self._redis.get(self._keys.models)
        if text is None:
            return None
        return text.decode() if isinstance(text, bytes) else str(text)

    async def write(self, text: str) -> None:
        with translate_redis_errors():
            await self._redis.set(self._keys.models, text, ex=MODELS_TTL_S)
