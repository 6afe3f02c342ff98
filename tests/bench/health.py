"""Whether a measurement can be believed: the lateness of our own event loop, and the CPU that others took."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.cpu import cpu_seconds_of
from bench.statistics import median, quantile

from voicefleet.runtime.supervisor.children import leftover_pids

LAG_LIMIT_S = 0.05
FOREIGN_LIMIT_RATIO = 0.15
"""Share of the whole machine that processes other than the measurement's may take, median over the windows."""

_PROBE_S = 0.01
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def machine_facts() -> dict[str, Any]:
    """What the figures depend on, as it is before the run."""
    memory = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "loadavg": list(os.getloadavg()),
        "memory_mb": int(memory["MemTotal"].split()[0]) // 1024,
        "memory_available_mb": int(memory["MemAvailable"].split()[0]) // 1024,
        "cpu": models[0].partition(":")[2].strip() if models else "",
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


@dataclass(frozen=True, slots=True)
class _Snapshot:
    at_s: float
    busy_s: float
    own_s: float


def _snapshot() -> _Snapshot:
    fields = [int(f) for f in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    idle = fields[3] + fields[4]
    own_s = cpu_seconds_of({os.getpid(), *leftover_pids()})
    # The first eight fields: guests are counted in user time already.
    return _Snapshot(time.monotonic(), (sum(fields[:8]) - idle) / _TICKS_PER_S, own_s)


def _foreign_ratio(before: _Snapshot, after: _Snapshot) -> float:
    elapsed_s = (after.at_s - before.at_s) * (os.cpu_count() or 1)
    foreign_s = (after.busy_s - before.busy_s) - (after.own_s - before.own_s)
    return max(0.0, foreign_s / elapsed_s) if elapsed_s > 0 else 0.0


@dataclass
class Health:
    """Gathers over the windows of one row, and says in the end what spoke against it."""

    lags_s: list[float] = field(default_factory=list)
    foreign: list[float] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """Watch the loop and the machine for the block."""
        before = _snapshot()
        probing = asyncio.create_task(self._probe())
        try:
            yield
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)
            self.foreign.append(_foreign_ratio(before, _snapshot()))

    async def _probe(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _PROBE_S
            await asyncio.sleep(_PROBE_S)
            self.lags_s.append(max(0.0, loop.time() - due))

    def void(self) -> list[str]:
        """Why the row is no measurement; empty when it is one."""
        reasons = list(self.complaints)
        if self.lags_s and (p99 := quantile(self.lags_s, 0.99)) > LAG_LIMIT_S:
            reasons.append(f"our event loop was late: p99 {p99 * 1000:.0f} ms, limit {LAG_LIMIT_S * 1000:.0f} ms")
        if self.foreign and (share := median(self.foreign)) > FOREIGN_LIMIT_RATIO:
            reasons.append(f"other processes took {share:.0%} of the machine, limit {FOREIGN_LIMIT_RATIO:.0%}")
        return reasons

    def to_json(self) -> dict[str, Any]:
        """The figures behind `void`."""
        return {
            "loop_lag_p99_ms": round(quantile(self.lags_s, 0.99) * 1000, 1) if self.lags_s else None,
            "foreign_cpu_ratio_p50": round(median(self.foreign), 3) if self.foreign else None,
            "loadavg_after": list(os.getloadavg()),
        }
