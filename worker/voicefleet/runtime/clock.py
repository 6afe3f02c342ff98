"""The only place that reads a clock. Everything else is given a `Clock`, so tests run in virtual time."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time as the adapters see it; the pure packages are given numbers."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary point; never jumps."""
        ...

    def wall(self) -> datetime:
        """The date and time, UTC; may jump. For people's eyes only, never for a duration."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clock. On Linux its `monotonic` stands still while the machine sleeps."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class BootClock(SystemClock):
    """The machine's clock that goes on while the machine sleeps, where it tells (Linux). For whoever holds something
    for a time, as a controller its Lease: one that slept through the end of it must know when it wakes.

    No point of its time can be compared with one of `SystemClock`.
    """

    def monotonic(self) -> float:
        return time.clock_gettime(_BOOT)


_BOOT: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
