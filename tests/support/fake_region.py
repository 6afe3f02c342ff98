"""A region on fakes, whose real loops run in virtual time: `with_region(story)` runs `story` beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

from support.fake_call_store import FakeCallStore
from support.fake_dial_store import FakeDialStore
from support.fake_livekit import FakeLiveKit
from support.fake_workers import FakeWorkers
from support.region_settings import region_settings
from support.virtual_time import LoopClock, run
from voicefleet.controller.http.auth.keys import KeyRing
from voicefleet.controller.http.auth.limits import Gone
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.regions.region import Region
from voicefleet.controller.rooms.joins import JoinCounter
from voicefleet.runtime.tasks import cancel_and_wait

Run = Callable[[], Awaitable[None]]
Rooms = str
Loop = Callable[["FakeRegion"], Run]
"""Makes one of the controller's loops."""


@dataclass
class FakeLimiter:
    """Counts calls of keys; `most` for each."""

    most: int = 0
    calls: dict[str, set[str]] = field(default_factory=dict)
    error: Exception | None = None

    def take(self, ring: KeyRing) -> None:
        """Keys have no bounds of their own here."""

    def per_minute(self, key: str) -> int:
        return 600

    def most_calls(self, key: str) -> int:
        return self.most

    async def request(self, key: str) -> float | None:
        return None

    async def reserve(self, key: str, region: str, room: str, gone: Gone) -> bool:
        return await self.confirm(key, region, room, gone)

    async def confirm(self, key: str, region: str, room: str, gone: Gone) -> bool:
        if self.error is not None:
            raise self.error
        counted = self.calls.setdefault(key, set())
        if room not in counted and self.most and len(counted) >= self.most:
            return False
        counted.add(room)
        return True

    async def release(self, key: str, region: str, rooms: list[str]) -> None:
        if self.error is not None:
            raise self.error
        self.calls.get(key, set()).difference_update(rooms)


class FakeRegion:
    """Region eu: its fakes, and the real `Region` over them."""

    def __init__(self, *, rooms: Rooms = "ordered", slots: int = 1, trunks: Any = None, **parts: Any) -> None:
        """`parts`: of the `Region`, which stand in for the fakes."""
        clock = LoopClock()
        self.clock = clock
        self.livekit = FakeLiveKit(clock)
        self.store = FakeCallStore(clock)
        self.workers = FakeWorkers(clock, self.livekit, self.store)
        self.metrics = Metrics()
        self.metrics.open_region("eu")
        self.limiter = FakeLimiter()
        self.dials = FakeDialStore(clock)
        fakes = {"livekit": self.livekit, "calls": self.store, "workers": self.workers, "dials": self.dials}
        absent = dict.fromkeys(("models", "campaigns", "fleet"))
        settings = region_settings({"slots": slots}, rooms=rooms, trunks=trunks or {})
        self.region = Region(
            settings=settings, clock=clock, metrics=self.metrics, **cast(Any, {**fakes, **absent, **parts})
        )
        self.workers.changed = self.region.note_change
        self.joins = JoinCounter({"eu": self.region}, cast(Any, self.limiter), self.metrics, max_duration_s=0.0)

    def metric(self, name: str, **labels: str) -> float:
        """One sample; 0.0 where there is none."""
        wanted = {"region": "eu", **labels}
        # Only this family: to collect all of them takes 100 times as long, and a wait asks often.
        families = self.metrics.registry.restricted_registry([name]).collect()
        return next((s.value for f in families for s in f.samples if s.name == name and s.labels == wanted), 0.0)

    def holder(self, room: str) -> str:
        """The job that has the call in `room`; empty without one."""
        claim = self.store.redis.claim(room)
        return claim.job if claim else ""

    async def call(self, room: str, **ticket: str) -> None:
        """A caller joins, and Redis hears of it."""
        self.livekit.join(room, **ticket)
        await self.store.caller_joined(room)

    async def until(self, holds: Callable[[], object], limit_s: float = 30.0) -> float:
        """Seconds of virtual time until `holds()`."""
        began_s = self.clock.monotonic()
        while not holds():
            waited_s = self.clock.monotonic() - began_s
            assert waited_s < limit_s, f"did not happen within {limit_s} s of virtual time"
            await self.clock.sleep(0.01)
        return self.clock.monotonic() - began_s


def with_region(
    story: Callable[[FakeRegion], Awaitable[None]],
    *loops: Loop,
    rooms: Rooms = "ordered",
    slots: int = 1,
    trunks: Any = None,
) -> None:
    """Run `story` in virtual time, `loops` beside it. A loop that ends or fails fails the test."""

    async def go() -> None:
        fakes = FakeRegion(rooms=rooms, slots=slots, trunks=trunks)
        tasks = [asyncio.ensure_future(loop(fakes)()) for loop in loops]
        told = asyncio.ensure_future(story(fakes))
        try:
            await asyncio.wait([told, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
                    raise AssertionError("a loop ended by itself")
            await told
        finally:
            await cancel_and_wait([told, *cast(Any, tasks)])
            await fakes.livekit.close()

    run(go())
