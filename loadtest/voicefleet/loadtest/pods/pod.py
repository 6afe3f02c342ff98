"""A pod of a load test: plays its share of the plan, and tells of it in its log."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from voicefleet.callers.health import HealthMeter
from voicefleet.contract.errors import ConfigError, UsageError
from voicefleet.loadtest.metrics import serving
from voicefleet.loadtest.pods.gate import ALONE_AFTER_S, Attendance, Told, parse_told
from voicefleet.loadtest.pods.lines import BEAT_EVERY_S, READY_EVERY_S, Teller
from voicefleet.loadtest.pods.plan import Plan, parse_plan
from voicefleet.loadtest.run import LoadRun, PartOfRun, run_scenario
from voicefleet.loadtest.stage_times import with_stage_times
from voicefleet.loadtest.targets import open_target
from voicefleet.runtime.clock import Clock, SystemClock
from voicefleet.runtime.text_file import read_text

_LOOK_EVERY_S = 0.1
_HEADSTART_S = 0.25
"""So long before the start the calls are set up."""


def play_share(plan_file: Path, gate_file: Path, index: int, metrics: str | None) -> int:
    """Play the share of `index`, telling of it on standard output.

    Returns:
        0 all its calls are over; 1 it was ended before; 2 wrong input or surroundings, which is told too.
    """
    clock = SystemClock()
    teller = Teller(lambda line: print(line, flush=True), lambda: clock.wall().timestamp())
    try:
        plan = parse_plan(read_text(plan_file, field="--plan", hint="Start it by `voicefleet loadtest --kubernetes`."))
        if not 0 <= index < plan.shares:
            raise ConfigError("no such share", field="--index", value=index, hint=f"Use 0 to {plan.shares - 1}.")
        return asyncio.run(Pod(plan, index, gate_file, teller, clock).play(metrics))
    except UsageError as error:
        teller.refused(error)
        return UsageError.exit_code


class Pod:
    """The share of one index. `play` once."""

    def __init__(self, plan: Plan, index: int, gate: Path, teller: Teller, clock: Clock) -> None:
        self._plan, self._share = plan, plan.share(index)
        self._gate, self._teller, self._clock = gate, teller, clock
        self._meter = HealthMeter(clock)
        self._prepared = asyncio.Event()
        self._start_s: float | None = None
        self._ended_by = ""

    async def play(self, metrics: str | None) -> int:
        task = asyncio.current_task()
        assert task is not None

        def end(why: str) -> None:
            self._ended_by = self._ended_by or why
            task.cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end, "it was told to stop, and its callers hung up")
        beside = [
            asyncio.create_task(self._tell(), name="tell"),
            asyncio.create_task(self._attend(end), name="attend"),
        ]
        try:
            run = await self._run(metrics)
        except asyncio.CancelledError:
            if not self._ended_by:
                raise
            wall_s = 0.0 if self._start_s is None else self._clock.monotonic() - self._start_s
            self._teller.stopped(self._ended_by, self._meter.health(), max(0.0, wall_s))
            return 1
        finally:
            for other in beside:
                other.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        self._teller.end(run)
        return 0

    async def _run(self, metrics: str | None) -> LoadRun:
        scenario = self._plan.scenario
        part = PartOfRun(self._share.numbers, self._start, self._on_event, self._teller.call, self._meter)
        async with open_target(scenario.target) as source, serving(metrics) as measures:
            run = await run_scenario(
                scenario,
                self._share.offsets_s,
                source,
                console=Console(quiet=True),
                measures=measures,
                title="",
                engine=self._plan.engine,
                part=part,
            )
            self._teller.stage_times(*await with_stage_times(run.outcomes, source.read_call, self._clock))
            return run

    async def _start(self) -> float:
        """Say that all is prepared, and wait for the start that the starter sets."""
        self._prepared.set()
        while (told := self._told()) is None or told.start_at is None:
            await self._clock.sleep(_LOOK_EVERY_S)
        # The one thing that two machines can agree on is their wall clocks; from here on time is monotonic.
        start_s = self._clock.monotonic() + told.start_at - self._clock.wall().timestamp()
        await self._clock.sleep(max(0.0, start_s - _HEADSTART_S - self._clock.monotonic()))
        self._start_s = start_s
        self._teller.began(max(0.0, self._clock.monotonic() - start_s))
        return start_s

    def _told(self) -> Told | None:
        with contextlib.suppress(OSError):
            return parse_told(self._gate.read_text(encoding="utf-8"))
        return None

    async def _tell(self) -> None:
        await self._prepared.wait()
        while self._start_s is None:
            self._teller.ready()
            await self._clock.sleep(READY_EVERY_S)
        while True:
            self._teller.beat(self._meter.health())
            await self._clock.sleep(BEAT_EVERY_S)

    async def _attend(self, end: Any) -> None:
        attendance = Attendance(self._clock.monotonic())
        while attendance.look(self._told(), self._clock.monotonic()):
            await self._clock.sleep(1.0)
        end(f"its starter was gone for {ALONE_AFTER_S:.0f} s, and its callers hung up")

    def _on_event(self, call_id: str, kind: str, _t_s: float, data: Mapping[str, Any]) -> None:
        self._teller.event(call_id, kind, data)
