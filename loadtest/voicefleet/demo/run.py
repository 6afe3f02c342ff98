"""One run of the demo: fleet up, callers in, fleet back down, verdict."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.live import Live

from voicefleet.callers.outcome import CallOutcome
from voicefleet.callers.swarm import SwarmSettings, run_swarm
from voicefleet.contract.api import CallRequest, CallTicket
from voicefleet.contract.errors import UnknownStateError, UnreachableError
from voicefleet.demo.history import History
from voicefleet.demo.options import BUFFER, HOLD_S, MIN_WORKERS, REGIONS, DemoOptions, max_workers
from voicefleet.demo.result import build_result
from voicefleet.demo.view import picture
from voicefleet.runtime.clock import Clock, SystemClock
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.speech.clips import load_utterances
from voicefleet.stack.fleet import Fleet, PoolShape, WorkerOptions, running_fleet
from voicefleet.traffic.arrivals import poisson

START_LIMIT_S = 90.0
SHRINK_LIMIT_S = 60.0
SAMPLE_EVERY_S = 0.4
PATIENCE_S = 60.0
BURST = 6
"""So many of the first calls come two and a half times as fast, to overtake the first workers."""


@dataclass(slots=True)
class DemoRun:
    """What a run leaves: the material of its table and its report."""

    options: DemoOptions
    pipeline: str
    outcomes: list[CallOutcome] = field(default_factory=list)
    history: History = field(default_factory=History)
    first_call_s: float = 0.0
    """All times count from the run's begin."""
    result: dict[str, Any] = field(default_factory=dict)


def arrivals(options: DemoOptions) -> list[float]:
    """Seconds after the first worker of every region is ready; the same for the same seed."""
    rng = np.random.default_rng(options.seed)
    burst = min(BURST, options.calls)
    first = poisson(options.rate * 2.5, burst, rng)
    rest = poisson(options.rate, options.calls - burst, rng) + (first[-1] if burst else 0.0)
    return [float(t) for t in (*first, *rest)]


async def run_demo(
    options: DemoOptions,
    pipeline: str,
    console: Console,
    *,
    clock: Clock | None = None,
    keep: Callable[[Fleet], None] | None = None,
    done: Callable[[DemoRun], None],
) -> None:
    """Run it; the fleet is gone when this returns, however it ends.

    Args:
        keep: called with the fleet when the run is over; then the fleet stays up until this task is cancelled.
        done: given the run once its result is known; it is never called for a run that was interrupted.

    Raises:
        UsageError: a part could not be set up; says which, and the way out.
    """
    clock = clock or SystemClock()
    most = max_workers(len(os.sched_getaffinity(0)))
    shape = PoolShape(options.slots, MIN_WORKERS, most, buffer=BUFFER, scale_down_delay_s=HOLD_S)
    run = DemoRun(options, pipeline)
    began_s = clock.monotonic()
    with tempfile.TemporaryDirectory(prefix="voicefleet-demo-") as directory:
        stage = _Stage(run, clock, began_s)
        with Live(get_renderable=stage.render, console=console, refresh_per_second=2, transient=True) as live:
            stage.say("starting Redis, two livekit-servers and the controller")
            async with running_fleet(REGIONS, shape, Path(directory), workers=WorkerOptions(pipeline)) as fleet:
                async with ControllerClient(fleet.api_url) as client, stage.watching(client):
                    stage.phase = "first workers start"
                    await stage.until_ready(fleet)
                    stage.phase = "callers arrive"
                    run.first_call_s = stage.now()
                    await _callers(stage, client)
                    stage.phase = "fleet scales back down"
                    await stage.until_small()
                    run.result = build_result(
                        run.outcomes,
                        run.history,
                        first_call_s=run.first_call_s,
                        regions=REGIONS,
                        slots=options.slots,
                        pipeline=pipeline,
                        wall_s=stage.now(),
                    )
                done(run)
                if keep is not None:
                    live.stop()
                    keep(fleet)
                    await asyncio.Event().wait()
                stage.phase = "everything stops"


async def _callers(stage: _Stage, client: ControllerClient) -> None:
    options = stage.run.options

    async def place_call(i: int) -> CallTicket:
        region = REGIONS[i % len(REGIONS)]
        ticket = await client.create_call(CallRequest(region=region), patience_s=PATIENCE_S)
        stage.regions_of_calls[i] = region
        return ticket

    swarm = run_swarm(
        arrivals(options),
        place_call,
        load_utterances(),
        SwarmSettings(turns=options.turns, seed=options.seed),
        on_event=stage.on_event,
    )
    async with contextlib.aclosing(swarm):
        async for outcome in swarm:
            stage.finished(outcome)


class _Stage:
    """What the audience sees: phase, fleet, events."""

    def __init__(self, run: DemoRun, clock: Clock, began_s: float) -> None:
        self.run = run
        self.phase = "setting up"
        self.regions_of_calls: dict[int, str] = {}
        self._clock = clock
        self._began_s = began_s
        self._log: deque[str] = deque(maxlen=8)
        self._ttfa_s: dict[str, list[float]] = {}
        self._offered = 0

    def now(self) -> float:
        return self._clock.monotonic() - self._began_s

    def say(self, text: str) -> None:
        self._log.append(f"{self.now():6.1f} s  {text}")

    def render(self) -> Any:
        counts = (self._offered, self.run.options.calls, len(self.run.outcomes))
        return picture(self.phase, self.now(), counts, self.run.history, REGIONS, self._ttfa_s, list(self._log))

    def on_event(self, call_id: str, kind: str, t_s: float, _: Mapping[str, Any]) -> None:
        """The swarm's events; only those that an audience follows are shown."""
        region = self.regions_of_calls.get(int(call_id.rsplit("-", 1)[1]), "")
        if kind == "due":
            self._offered += 1
        elif kind in ("joined", "silent", "cut", "failed", "greeting"):
            self.say(f"{call_id} {region}  {kind}" + (f" after {t_s:.2f} s" if kind == "greeting" else ""))

    def finished(self, outcome: CallOutcome) -> None:
        self.run.outcomes.append(outcome)
        heard = [t.ttfa_s for t in outcome.turns if t.ttfa_s is not None]
        self._ttfa_s.setdefault(outcome.region, []).extend(heard)
        answered = sum(t.answered for t in outcome.turns)
        verdict = "cut" if outcome.cut else "silent" if outcome.silent else f"{answered} turns answered"
        self.say(f"{outcome.call_id} {outcome.region}  ended, {outcome.error or verdict}")

    @contextlib.asynccontextmanager
    async def watching(self, client: ControllerClient) -> AsyncIterator[None]:
        """Sample the fleet in the background."""
        task = asyncio.create_task(self._watch(client))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self, client: ControllerClient) -> None:
        away = False
        while True:
            try:
                self.run.history.add(self.now(), await client.regions())
                away = False
            except UnknownStateError as error:
                if not away:
                    self.say(f"the controller does not say how the fleet is: {error}")
                away = True
            await self._clock.sleep(SAMPLE_EVERY_S)

    async def until_ready(self, fleet: Fleet) -> None:
        """Wait for the first workers of every region.

        Raises:
            UnreachableError: they did not come up in time; the last lines of their log say why.
        """
        try:
            async with asyncio.timeout(START_LIMIT_S):
                while not all((s := self.run.history.last(r)) and (s.ready or 0) >= MIN_WORKERS for r in REGIONS):
                    await self._clock.sleep(0.1)
        except TimeoutError as error:
            raise UnreachableError(
                f"no worker was ready within {START_LIMIT_S:.0f} s; the last lines of their logs:\n{fleet.log_tails()}",
                field="workers",
                hint="Mend what they say, or try --pipeline synthetic.",
            ) from error

    async def until_small(self) -> None:
        """Wait until every region is back at its minimum; give up in silence after a while, the result tells."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SHRINK_LIMIT_S):
                while not all(self._small(region) for region in REGIONS):
                    await self._clock.sleep(0.2)

    def _small(self, region: str) -> bool:
        s = self.run.history.last(region)
        return s is not None and (s.ready, s.starting, s.draining, s.live) == (MIN_WORKERS, 0, 0, 0)
