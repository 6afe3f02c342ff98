"""One run of the demo: start a fleet, hold the calls, wait until the fleet is small again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable
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
from voicefleet.demo.fleet_history import History
from voicefleet.demo.options import BUFFER, HOLD_S, MIN_WORKERS, REGIONS, DemoOptions, max_workers
from voicefleet.demo.result import build_result
from voicefleet.demo.view import DemoView
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
    """What a run leaves for its table and its report."""

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
        UsageError: a part could not be set up; it says which, with a hint.
    """
    clock = clock or SystemClock()
    most = max_workers(len(os.sched_getaffinity(0)))
    shape = PoolShape(options.slots, MIN_WORKERS, most, buffer=BUFFER, scale_down_delay_s=HOLD_S)
    run = DemoRun(options, pipeline)
    view = DemoView(clock, options.calls, run.history)
    with (
        tempfile.TemporaryDirectory(prefix="voicefleet-demo-") as directory,
        Live(get_renderable=view.render, console=console, refresh_per_second=2, transient=True) as live,
    ):
        view.say("starting Redis, two livekit-servers and the controller")
        async with running_fleet(REGIONS, shape, Path(directory), workers=WorkerOptions(pipeline)) as fleet:
            async with ControllerClient(fleet.api_url) as client, _sampling(client, run.history, view, clock):
                view.phase = "first workers start"
                await _until_ready(fleet, run.history, clock)
                view.phase = "callers arrive"
                run.first_call_s = view.now()
                await _hold_calls(client, run, view)
                view.phase = "fleet scales back down"
                await _until_small(run.history, clock)
                run.result = build_result(
                    run.outcomes,
                    run.history,
                    first_call_s=run.first_call_s,
                    regions=REGIONS,
                    slots=options.slots,
                    pipeline=pipeline,
                    wall_s=view.now(),
                )
            done(run)
            if keep is not None:
                live.stop()
                keep(fleet)
                await asyncio.Event().wait()
            view.phase = "everything stops"


async def _hold_calls(client: ControllerClient, run: DemoRun, view: DemoView) -> None:
    async def place_call(i: int) -> CallTicket:
        region = REGIONS[i % len(REGIONS)]
        ticket = await client.create_call(CallRequest(region=region), patience_s=PATIENCE_S)
        view.regions_of_calls[i] = region
        return ticket

    swarm = run_swarm(
        arrivals(run.options),
        place_call,
        load_utterances(),
        SwarmSettings(turns=run.options.turns, seed=run.options.seed),
        on_event=view.on_event,
    )
    async with contextlib.aclosing(swarm):
        async for outcome in swarm:
            run.outcomes.append(outcome)
            view.finished(outcome)


@contextlib.asynccontextmanager
async def _sampling(client: ControllerClient, history: History, view: DemoView, clock: Clock) -> AsyncIterator[None]:
    """Sample the fleet in the background."""

    async def sample() -> None:
        away = False
        while True:
            try:
                history.add(view.now(), await client.regions())
                away = False
            except UnknownStateError as error:
                if not away:
                    view.say(f"the controller does not tell the fleet's state: {error}")
                away = True
            await clock.sleep(SAMPLE_EVERY_S)

    task = asyncio.create_task(sample())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until_ready(fleet: Fleet, history: History, clock: Clock) -> None:
    """Wait for the first workers of every region.

    Raises:
        UnreachableError: they did not come up in time; the last lines of their log say why.
    """
    try:
        async with asyncio.timeout(START_LIMIT_S):
            while not all((s := history.last(r)) and (s.ready or 0) >= MIN_WORKERS for r in REGIONS):
                await clock.sleep(0.1)
    except TimeoutError as error:
        raise UnreachableError(
            f"no worker was ready within {START_LIMIT_S:.0f} s; the last lines of their logs:\n{fleet.log_tails()}",
            field="workers",
            hint="Mend what they say, or try --pipeline synthetic.",
        ) from error


async def _until_small(history: History, clock: Clock) -> None:
    """Wait until every region is back at its minimum; give up in silence after a while, the result tells."""

    def small(region: str) -> bool:
        s = history.last(region)
        return s is not None and (s.ready, s.starting, s.draining, s.live) == (MIN_WORKERS, 0, 0, 0)

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SHRINK_LIMIT_S):
            while not all(small(region) for region in REGIONS):
                await clock.sleep(0.2)
