"""What the workers of a local fleet take of the machine, shared among the calls that they hold. From /proc."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from voicefleet.runtime.clock import Clock, SystemClock

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_EVERY_S = 0.5

Look = Callable[[], tuple[float, int]]
"""Processor time in seconds so far, and memory in bytes, of all that is measured."""


def below(pid: int) -> list[int]:
    """Every process below `pid`, at any depth, without itself."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                children.setdefault(int(_stat(int(folder.name))[1]), []).append(int(folder.name))
    found, todo = [], list(children.get(pid, ()))
    while todo:
        one = todo.pop()
        todo += children.get(one, [])
        found.append(one)
    return found


def taken_below(pid: int) -> tuple[float, int]:
    """Processor time of all processes below `pid`, and of those that they waited for; their memory (PSS)."""
    pids = below(pid)
    return _cpu_s(pids), sum(map(_pss_bytes, pids))


class WorkerMeter:
    """Measures while it is entered; each call that lives then gets its part.

    The processor time of each half second is divided evenly among the calls of that half second, so that what no call
    caused (a worker's idling) is shared too, and the sum over calls is what was taken while there were calls.

    Args:
        look: what to measure: for a fleet ``lambda: taken_below(fleet.controller.proc.pid)``: the controller's
            children are the workers.
    """

    def __init__(self, look: Look, clock: Clock | None = None) -> None:
        self._look = look
        self._clock = clock or SystemClock()
        self._calls: set[CallShare] = set()
        self._before_s = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._before_s, _ = await asyncio.to_thread(self._look)
        self._task = asyncio.create_task(self._sample(), name="worker-meter")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def call(self) -> CallShare:
        """A call begins now."""
        share = CallShare(self._calls.discard)
        self._calls.add(share)
        return share

    async def _sample(self) -> None:
        while True:
            await self._clock.sleep(_EVERY_S)
            # In a thread: reading many processes' memory would hold up the callers.
            now_s, memory = await asyncio.to_thread(self._look)
            # A worker that ended takes its time with it: what is less than before is no time at all.
            used_s, self._before_s = max(0.0, now_s - self._before_s), now_s
            for share in self._calls:
                share.add(used_s / len(self._calls), memory)


class CallShare:
    """One call's part of what the workers took."""

    def __init__(self, over: Callable[[CallShare], None]) -> None:
        self._over = over
        self._cpu_s = 0.0
        self._memory = 0
        self._seen = False

    def add(self, cpu_s: float, memory: int) -> None:
        """One sample's part."""
        self._seen = True
        self._cpu_s += cpu_s
        self._memory = max(self._memory, memory)

    def taken(self) -> tuple[float | None, int | None]:
        """The call is over: its processor time, and the most memory that all workers had; None: too short to tell."""
        self._over(self)
        return (self._cpu_s, self._memory) if self._seen else (None, None)


def _cpu_s(pids: Iterable[int]) -> float:
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError, IndexError, ValueError):
            ticks += sum(int(field) for field in _stat(pid)[11:15])
    return ticks / _TICKS_PER_S


def _pss_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
