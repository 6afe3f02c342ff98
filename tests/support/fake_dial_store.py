"""Outbound calls in memory, behind `DialStorePort`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from support.fake_livekit import EPOCH_MS
from voicefleet.contract.dials import Dial, DialState, Outcome
from voicefleet.contract.errors import UnknownStateError
from voicefleet.runtime.clock import Clock


@dataclass
class FakeDialStore:
    """As `calls.dial_store.DialStore`."""

    clock: Clock
    away: bool = False
    dials: dict[str, Dial] = field(default_factory=dict)
    places: dict[str, set[str]] = field(default_factory=dict)
    """Trunk -> the rooms of calls that have a place on it."""
    next_ms: dict[str, int] = field(default_factory=dict)

    async def now_ms(self) -> int:
        if self.away:
            raise UnknownStateError("Redis did not answer")
        return EPOCH_MS + round(self.clock.monotonic() * 1000)

    async def get(self, room: str) -> Dial | None:
        await self.now_ms()
        return self.dials.get(room)

    async def get_all(self, rooms: Sequence[str]) -> dict[str, Dial]:
        await self.now_ms()
        return {room: self.dials[room] for room in rooms if room in self.dials}

    async def count(self) -> int:
        await self.now_ms()
        return sum(dial.active for dial in self.dials.values())

    async def due(self, now_ms: int) -> list[Dial]:
        await self.now_ms()
        return [dial for dial in self.dials.values() if dial.active and dial.due_ms <= now_ms]

    async def create(self, dial: Dial) -> bool:
        await self.now_ms()
        return self.dials.setdefault(dial.room, dial) is dial

    async def put(self, dial: Dial) -> Dial | None:
        await self.now_ms()
        if self.dials[dial.room].rev != dial.rev:
            return None
        self.dials[dial.room] = changed = replace(dial, rev=dial.rev + 1)
        if not dial.admitted:
            self.places.get(dial.order.trunk, set()).discard(dial.room)
        return changed

    async def take_place(self, dial: Dial, concurrent: int) -> bool:
        await self.now_ms()
        taken = self.places.setdefault(dial.order.trunk, set())
        if dial.room not in taken and concurrent and len(taken) >= concurrent:
            return False
        taken.add(dial.room)
        return True

    async def leave_place(self, dial: Dial) -> None:
        if not self.dials[dial.room].admitted:
            self.places.get(dial.order.trunk, set()).discard(dial.room)

    async def dial_after_ms(self, dial: Dial, per_s: float) -> int:
        now_ms, every_ms = await self.now_ms(), round(1000 / per_s)
        next_ms = self.next_ms.get(dial.order.trunk, 0)
        if next_ms > now_ms:
            return next_ms - now_ms
        self.next_ms[dial.order.trunk] = now_ms + every_ms
        return 0

    async def cancel(self, room: str) -> None:
        dial = self.dials.get(room)
        if dial is not None and DialState(dial.state).pending:
            ended = replace(dial, order=replace(dial.order, attempts=dial.attempt))
            await self.put(ended.over(Outcome(DialState.FAILED, detail="cancelled"), await self.now_ms()))
