"""Shows that a job's process lives: while it is subscribed to its channel, Redis counts a subscriber."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from voicefleet.runtime.redis.connection import RedisClient, listen
from voicefleet.runtime.tasks import cancel_and_wait

_AGAIN_S = 1.0


class LivenessSubscription:
    """Listens on `channel`. The kernel ends a killed process's subscription at once."""

    def __init__(self, redis: RedisClient, channel: str) -> None:
        self._redis = redis
        self._channel = channel
        self._task: asyncio.Task[None] | None = None

    def start(self, woken: Callable[[], None]) -> None:
        """Listen from now on; every message calls `woken`."""
        self._task = asyncio.create_task(self._listen(woken))

    async def end(self) -> None:
        if self._task is not None:
            await cancel_and_wait([self._task])

    async def _listen(self, woken: Callable[[], None]) -> None:
        while True:
            await listen(self._redis, [self._channel], lambda _: woken())
            await asyncio.sleep(_AGAIN_S)
