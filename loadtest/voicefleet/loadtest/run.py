"""One run of a scenario: its calls placed, held and counted."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live

from voicefleet.callers.caller import CallerSettings, OnEvent
from voicefleet.callers.engines import engine_json, running_engine, with_engine
from voicefleet.callers.health import GeneratorHealth, HealthMeter
from voicefleet.callers.outcome import CallOutcome
from voicefleet.callers.port import CallerEngine
from voicefleet.callers.swarm import SwarmSettings, run_swarm
from voicefleet.loadtest.metrics import CallerMetrics
from voicefleet.loadtest.mix import CallerMix, require_possible, spoken_by
from voicefleet.loadtest.progress import Progress
from voicefleet.loadtest.scenario import Scenario
from voicefleet.loadtest.surroundings import Surroundings
from voicefleet.loadtest.targets import TicketSource
from voicefleet.runtime.clock import SystemClock


@dataclass(frozen=True, slots=True)
class LoadRun:
    """What came of it: every call, how the load generator did, how long it took, and who held the calls."""

    outcomes: tuple[CallOutcome, ...]
    health: GeneratorHealth
    wall_s: float
    engine: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PartOfRun:
    """What is asked of a process that plays a share of a larger run.

    Attributes:
        numbers: of its calls, as the whole plan counts them.
        start: awaited when all is prepared; the monotonic time from which the offsets count.
        on_event: told of the callers' events.
        on_outcome: told of each call as it ends.
        meter: measures the generator's health; whoever made it may look at it during the run.
    """

    numbers: Sequence[int]
    start: Callable[[], Awaitable[float]]
    on_event: OnEvent
    on_outcome: Callable[[CallOutcome], None]
    meter: HealthMeter


async def run_scenario(
    scenario: Scenario,
    offsets_s: Sequence[float],
    source: TicketSource,
    *,
    console: Console,
    measures: CallerMetrics,
    title: str,
    engine: str,
    part: PartOfRun | None = None,
) -> LoadRun:
    """Place the calls of `scenario` at `offsets_s` (seconds from now), and hold them to their ends.

    Args:
        engine: who holds them, one of `Engine`.
        part: where these calls are a share of a larger run.

    Raises:
        UsageError: no caller could join, or no agent came to any: calls that are open are hung up first. Or the engine
            is not there.
    """
    require_possible(scenario.callers, engine)
    async with running_engine(engine) as holder:
        return await _run(
            scenario, offsets_s, source, holder, console=console, measures=measures, title=title, part=part
        )


async def _run(
    scenario: Scenario,
    offsets_s: Sequence[float],
    source: TicketSource,
    engine: CallerEngine,
    *,
    console: Console,
    measures: CallerMetrics,
    title: str,
    part: PartOfRun | None,
) -> LoadRun:
    clock = SystemClock()
    progress = Progress(len(offsets_s), title)
    surroundings = Surroundings(source, len(offsets_s))
    mix = CallerMix(scenario.callers, scenario.seed, CallerSettings(scenario.callers.behavior, engine=engine))

    def on_event(call_id: str, kind: str, t_s: float, data: Mapping[str, Any]) -> None:
        progress.on_event(call_id, kind, t_s, data)
        measures.on_event(call_id, kind, t_s, data)
        if part is not None:
            part.on_event(call_id, kind, t_s, data)

    utterances = spoken_by(scenario.callers)
    start_s = None if part is None else await part.start()
    swarm = run_swarm(
        offsets_s,
        lambda call: source.place(call, mix.patience_s(call)),
        utterances,
        SwarmSettings(turns=scenario.callers.turns, seed=scenario.seed, plan=mix.plan),
        on_event=on_event,
        elsewhere=source.elsewhere,
        numbers=None if part is None else part.numbers,
        start_s=start_s,
    )
    began_s = clock.monotonic()
    async with part.meter if part is not None else HealthMeter(clock) as meter, contextlib.aclosing(swarm):
        with Live(get_renderable=progress.render, console=console, refresh_per_second=2, transient=True):
            async for outcome in swarm:
                progress.finished(outcome)
                measures.finished(outcome)
                if part is not None:
                    part.on_outcome(outcome)
                # A generator without CPU fails to join, whatever the surroundings are.
                if (wrong := surroundings.wrong(outcome)) and not meter.health().void:
                    raise wrong
    wall_s = clock.monotonic() - began_s
    health = await with_engine(meter.health(), engine, wall_s)
    return LoadRun(tuple(progress.outcomes), health, wall_s, engine_json(engine))
