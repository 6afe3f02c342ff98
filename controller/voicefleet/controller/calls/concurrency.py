"""Adaptive limit of concurrent requests: more while the other side answers, half as many when it does not."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

from voicefleet.contract.errors import UnknownStateError
from voicefleet.runtime.clock import Clock


class AdaptiveLimit:
    """Turns of work that ask another server, as TCP has it: each turn that goes well and was needed allows one more at
    once, so that their number doubles with every round; a failure halves it.

    Args:
        least: at once to begin with, and at the least.
        most: at once at the most.
        slow_s: a turn that takes longer allows no more.
    """

    def __init__(self, clock: Clock, *, least: int, most: int, slow_s: float) -> None:
        self._clock = clock
        self._least, self._most, self._slow_s = least, most, slow_s
        self._limit = least
        self._busy = 0
        self._halved_s = float("-inf")
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """Turns at once, now."""
        return self._limit

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One turn, first come first served. An `UnknownStateError` inside is a failure of the other side."""
        await self._enter()
        began_s = self._clock.monotonic()
        try:
            yield
        except UnknownStateError:
            self._halve(began_s)
            raise
        else:
            needed = self._busy >= self._limit
            if needed and self._limit < self._most and self._clock.monotonic() - began_s <= self._slow_s:
                self._limit += 1
        finally:
            self._busy -= 1
            self._admit()

    def _halve(self, began_s: float) -> None:
        # Those that began before the last halving fail for the same reason.
        if began_s >= self._halved_s:
            self._limit = max(self._least, self._limit // 2)
            self._halved_s = self._clock.monotonic()

    async def _enter(self) -> None:
        if self._busy < self._limit and not self._queue:
            self._busy += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._busy -= 1  # its turn had come in that very moment: the next one's
                self._admit()
            raise

    def _admit(self) -> None:
        while self._queue and self._busy < self._limit:
            place = self._queue.popleft()
            if not place.done():
                self._busy += 1
                place.set_result(None)
