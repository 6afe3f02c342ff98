"""Which jobs listen on their channels: Redis sees the end of a process, or of its connection, at once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from voicefleet.contract.keys import Keys
from voicefleet.runtime.redis import RedisClient, answered


@dataclass(frozen=True, slots=True)
class Listening:
    """The jobs that listen now, and which life of Redis says so."""

    jobs: frozenset[str]
    server: str
    """Changes when Redis restarts or another takes over: its listeners then come back one by one. Empty: unknown."""


class Presence:
    """The jobs' channels of `region`."""

    def __init__(self, redis: RedisClient, region: str) -> None:
        self._redis = redis
        self._keys = Keys(region)

    async def of(self, jobs: Collection[str]) -> Listening:
        """Who of `jobs` listens. Raises `UnknownStateError` when Redis does not answer."""
        channels = {self._keys.job_channel(job): job for job in jobs}
        with answered():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.pubsub_numsub(*channels)
                pipe.info("server")
                counts, server = await pipe.execute(raise_on_error=False)
            if isinstance(counts, Exception):
                raise counts
        # A Redis that does not let us ask for its server's id does without: other guards are left.
        life = "" if isinstance(server, Exception) else str(server.get("run_id", ""))
        return Listening(frozenset(channels[channel] for channel, count in counts if count), life)
