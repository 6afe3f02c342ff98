"""Samples what an idle fleet holds: claims and keys in Redis; memory, descriptors and processes in /proc."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import redis.asyncio

from voicefleet.chaos.fault_context import REGION
from voicefleet.chaos.faults.processes import group
from voicefleet.chaos.soak.growth import Series
from voicefleet.chaos.soak.invariants import ClaimTotals
from voicefleet.contract.keys import Keys
from voicefleet.runtime.supervisor.guard import start_time

MEMORY_ALLOWANCE_MIB = 24.0
"""Over half an hour and some two hundred calls: a tenth of a MiB a call. What is cached per room would show."""
DESCRIPTORS_ALLOWANCE = 3
_MIB = 2**20


@dataclass(slots=True)
class Gauges:
    """Collects a sample a round; `series()` is what they make. A process that was replaced begins a series anew."""

    _kept: dict[tuple[str, str, float], list[float]] = field(default_factory=lambda: defaultdict(list))

    def process(self, what: str, pid: int) -> None:
        """One look at a process, known as `what`."""
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        except (OSError, IndexError):
            return
        name = f"{what} {pid}-{start_time(pid)}"
        self._add(f"{name} memory", "MiB", MEMORY_ALLOWANCE_MIB, pages * os.sysconf("SC_PAGE_SIZE") / _MIB)
        self._add(f"{name} descriptors", "", DESCRIPTORS_ALLOWANCE, descriptors)

    def worker(self, pid: int) -> None:
        """One look at a worker: its main process, and how many it has."""
        self.process("worker", pid)
        self._add(f"worker {pid}-{start_time(pid)} processes", "", 0, len(group(pid)))

    def keys(self, lasting: int) -> None:
        """Keys in Redis that nothing will remove by itself."""
        self._add("Redis keys without an end", "", 0, lasting)

    def _add(self, what: str, unit: str, allowance: float, value: float) -> None:
        self._kept[what, unit, allowance].append(value)

    def series(self) -> list[Series]:
        return [Series(*name, tuple(values)) for name, values in self._kept.items()]


@dataclass(frozen=True, slots=True)
class RedisState:
    """What Redis holds.

    Attributes:
        lasting, expiring: keys without and with an end.
        open_rooms: rooms with an open claim.
    """

    claims: ClaimTotals
    lasting: int
    expiring: int
    open_rooms: tuple[str, ...]


async def read_redis_state(url: str) -> RedisState:
    """Raises redis' own errors: a soak's Redis runs, or the soak has failed."""
    keys = Keys(REGION)
    async with redis.asyncio.Redis.from_url(url, decode_responses=True, socket_timeout=5.0) as client:
        async with client.pipeline(transaction=True) as both:
            both.hgetall(keys.ledger)
            both.hgetall(keys.open_claims)
            counts, held = await both.execute()
        ttls = [await client.ttl(key) async for key in client.scan_iter(count=1000)]
    claims = ClaimTotals({name: int(count) for name, count in counts.items()}, len(held))
    return RedisState(claims, sum(ttl == -1 for ttl in ttls), sum(ttl >= 0 for ttl in ttls), tuple(sorted(held)))
