"""The log of incidents of one region in Redis: a stream, bounded by its length and by age.

Every method raises `UnknownStateError` when Redis does not answer.
"""

from __future__ import annotations

from typing import Any

from voicefleet.contract import codec
from voicefleet.contract.incidents import KEPT_DAYS, MOST_KEPT, Incident
from voicefleet.contract.keys import Keys
from voicefleet.runtime.redis.connection import RedisClient, translate_redis_errors
from voicefleet.runtime.redis.values import read_value

_FIELD = "incident"


class IncidentStore:
    """The incidents of `region`."""

    def __init__(self, redis: RedisClient, region: str) -> None:
        self._redis = redis
        self._keys = Keys(region)

    async def add(self, incident: Incident) -> None:
        """Append it. Twice does no harm: see `contract.incidents.distinct`."""
        with translate_redis_errors():
            await self._redis.xadd(
                self._keys.incidents, {_FIELD: codec.dump(incident)}, maxlen=MOST_KEPT, approximate=True
            )

    async def read(self, limit: int) -> list[Incident]:
        """The last ones, the newest first. One that this release cannot read is left out."""
        with translate_redis_errors():
            rows: Any = await self._redis.xrevrange(self._keys.incidents, count=limit)
        found = [read_value(Incident, fields.get(_FIELD)) for _, fields in rows or ()]
        return [incident for incident in found if incident is not None]

    async def trim(self) -> None:
        """Forget those that are too old."""
        with translate_redis_errors():
            seconds, _ = await self._redis.time()
            oldest_ms = (int(seconds) - KEPT_DAYS * 86_400) * 1000
            await self._redis.xtrim(self._keys.incidents, minid=str(oldest_ms), approximate=True)
