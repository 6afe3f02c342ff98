"""The load generator's own health: a generator that is late measures itself, not the platform.

An overloaded generator delivers voices late and speaks with holes, so callers report silence that nobody heard.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np

from voicefleet.runtime.clock import Clock, SystemClock

MAX_LAG_P99_S = 0.25
"""Above this the figures of a run are void: the detector reports within 0.3 s of a voice, or silence is counted."""
MAX_PACING_P99_S = 0.02
"""Above this the figures are void too: an engine that sends its frames later than that hears as late, and its TTFA is
wrong by more than the 20 ms that it promises."""
_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class GeneratorHealth:
    """How the generator's process did.

    Attributes:
        lag_p99_s, lag_max_s: how late its event loop did what was due; None before the first sample.
        cpu_share: its processor time over the time of all cores it may use, 0 to 1; that of its engine included.
        pacing_p99_s, pacing_max_s: how late the engine sent its frames; None where the engine does not tell.
        pacing_known: False when an engine that tells was asked and did not answer: it is not believed.
    """

    lag_p99_s: float | None
    lag_max_s: float | None
    cpu_share: float
    pacing_p99_s: float | None = None
    pacing_max_s: float | None = None
    pacing_known: bool = True

    @property
    def void(self) -> bool:
        """Whether the generator was too late for its figures to count."""
        return bool(self.lateness)

    @property
    def lateness(self) -> str:
        """Why its figures do not count, in words; empty when they do."""
        if self.lag_p99_s is not None and self.lag_p99_s > MAX_LAG_P99_S:
            late = f"p99 of the event loop's lag {self.lag_p99_s:.2f} s, above {MAX_LAG_P99_S} s"
        elif self.pacing_p99_s is not None and self.pacing_p99_s > MAX_PACING_P99_S:
            late = f"p99 of the lateness of callers' frames {self.pacing_p99_s:.3f} s, above {MAX_PACING_P99_S} s"
        elif not self.pacing_known:
            return "the callers' engine did not say whether it kept time, so silence and TTFA may be its own"
        else:
            return ""
        return f"this machine was too busy to be a caller ({late}), so silence and TTFA may be its own"

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self)


def process_cpu_s() -> float:
    """Processor time of this process so far, all its threads (the native ones carry the media)."""
    times = os.times()
    return times.user + times.system


class HealthMeter:
    """Measures while it is entered: `async with HealthMeter() as meter: ...`, then `meter.health()`.

    A loop that stalls for L skips L / 0.05 looks; each counts with the lag it would have found, or a long stall
    would weigh as little as a short one (coordinated omission).
    """

    def __init__(self, clock: Clock | None = None, cpu_s: Callable[[], float] = process_cpu_s) -> None:
        self._clock = clock or SystemClock()
        self._cpu_s = cpu_s
        self._lags_s: list[float] = []
        self._began_s = self._clock.monotonic()
        self._cpu_began_s = cpu_s()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._began_s, self._cpu_began_s = self._clock.monotonic(), self._cpu_s()
        self._task = asyncio.create_task(self._sample(), name="generator-health")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def late(self, lag_s: float) -> None:
        """Take one look that was late by `lag_s`, and those that it held up."""
        self._lags_s.append(max(0.0, lag_s))
        while (lag_s := lag_s - _EVERY_S) > 0:
            self._lags_s.append(lag_s)

    def health(self) -> GeneratorHealth:
        """The health from the entry to now."""
        wall_s = max(self._clock.monotonic() - self._began_s, 1e-9)
        share = (self._cpu_s() - self._cpu_began_s) / wall_s / len(os.sched_getaffinity(0))
        if not self._lags_s:
            return GeneratorHealth(None, None, share)
        p99, top = np.quantile(np.asarray(self._lags_s), (0.99, 1.0))
        return GeneratorHealth(float(p99), float(top), share)

    async def _sample(self) -> None:
        while True:
            due_s = self._clock.monotonic() + _EVERY_S
            await self._clock.sleep(_EVERY_S)
            self.late(self._clock.monotonic() - due_s)
