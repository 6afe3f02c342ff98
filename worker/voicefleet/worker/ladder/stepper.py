"""Steps a worker down and up its ladder: reads the CPU every second, decides, and tells its jobs.

Each step is counted, logged with its reason, and part of the worker's report; what a job makes of it is `live_step`'s.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from livekit.agents.utils.hw import get_cpu_monitor

from voicefleet.contract.metrics import worker as catalogue
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.errors import error_summary
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.worker.ladder.decision import LadderRules, Standing, decide
from voicefleet.worker.ladder.level import Level
from voicefleet.worker.ladder.pressure import PressureWindow
from voicefleet.worker.telemetry.metrics import WorkerMetrics
from voicefleet.worker.telemetry.observations import Turn

READ_S = 0.5
"""Time over which one reading of the CPU is taken."""
EVERY_S = 1.0

log = get_logger(__name__)


class Stepper:
    """One worker's ladder.

    Args:
        read_cpu: how much of the CPU that this worker may use is used (0 to 1); it takes `READ_S`, in a thread. Of a
            container with a limit that is the container's, else the machine's.
        tell: takes each new level, for the jobs.
        calls: how many there are on this worker now.
    """

    def __init__(
        self,
        rules: LadderRules,
        metrics: WorkerMetrics,
        clock: Clock,
        tell: Callable[[Level], None],
        calls: Callable[[], int],
        read_cpu: Callable[[float], float] | None = None,
    ) -> None:
        self._rules = rules
        self._metrics = metrics
        self._clock = clock
        self._tell = tell
        self._calls = calls
        self._read_cpu = read_cpu or get_cpu_monitor().cpu_percent
        self._window = PressureWindow(rules)
        self._standing = Standing(clock.monotonic())
        self._unreadable = False
        self._metrics.gauges[catalogue.TIER_LEVEL].set(0)

    @property
    def level(self) -> Level:
        """Where the worker stands now."""
        return Level(self._standing.level, self._standing.why)

    def turn(self, turn: Turn) -> None:
        """A call's turn is over."""
        if turn.ttfa_s is not None and turn.tier in self._rules.order:
            self._window.turn(self._clock.monotonic(), turn.ttfa_s)

    async def run(self) -> None:
        """Step until cancelled."""
        while True:
            ratio = await self._read()
            self._metrics.gauges[catalogue.WORKER_CPU].set(math.nan if ratio is None else ratio)
            self._look(ratio)
            await self._clock.sleep(EVERY_S - READ_S)

    async def _read(self) -> float | None:
        try:
            ratio = await asyncio.to_thread(self._read_cpu, READ_S)
        except Exception as error:
            # Whatever a kernel's files hold: turns that are late tell the ladder as well.
            if not self._unreadable:
                log.warning(
                    "CPU not readable: the ladder of tiers steps down for late turns alone, and not up",
                    error=error_summary(error),
                )
                self._unreadable = True
            return None
        self._unreadable = False
        return ratio

    def _look(self, cpu_ratio: float | None) -> None:
        now_s, before = self._clock.monotonic(), self._standing
        self._window.cpu(now_s, cpu_ratio)
        step = decide(self._rules, before, self._window.seen(now_s, before.since_s, self._calls()), now_s)
        if step is None:
            return
        self._standing = step.standing
        direction = "down" if step.down else "up"
        self._metrics.counters[catalogue.TIER_STEPS].labels(direction, step.reason.value).inc()
        self._metrics.gauges[catalogue.TIER_LEVEL].set(step.standing.level)
        best = self._rules.order[0]
        log.warning(
            f"stepped {direction} the ladder of tiers",
            reason=step.standing.why,
            level=step.standing.level,
            tier=self._rules.tier(best, step.standing.level),
            instead_of=best,
        )
        self._tell(self.level)
