"""A job's presence: as long as it listens on its channel, Redis knows that its process lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from redis.asyncio.client import PubSub

from voicefleet.runtime.redis import REDIS_FAILURES, RedisClient
from voicefleet.runtime.tasks import end

_AGAIN_S = 1.0
_POLL_S = 5.0


class Presence:
    """Listens on `channel`; every message calls `woken`. The kernel ends a killed process's subscription at once."""

    def __init__(self, redis: RedisClient, channel: str, woken: Callable[[], None]) -> None:
        self._redis = redis
        self._channel = channel
        self._woken = woken
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._listen())

    async def end(self) -> None:
        if self._task is not None:
            await end([self._task])

    async def _listen(self) -> None:
        while True:
            pubsub: PubSub = self._redis.pubsub(ignore_subscribe_messages=True)
            try:
                await pubsub.subscribe(self._channel)
                while True:
                    if await pubsub.get_message(timeout=_POLL_S) is not None:
                        self._woken()
            except REDIS_FAILURES:
                await asyncio.sleep(_AGAIN_S)
            finally:
                await pubsub.aclose()  # type: ignore[no-untyped-call]
