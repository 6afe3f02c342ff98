"""One run of a scenario: its calls placed, held and counted."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from voicefleet.callers.caller import CallerSettings, OnEvent
from voicefleet.callers.engines import engine_json, running_engine, with_engine
from voicefleet.callers.health import GeneratorHealth, HealthMeter
from voicefleet.callers.outcome import CallOutcome
from voicefleet.callers.port import CallerEngine
from voicefleet.callers.swarm import SwarmSettings, run_swarm, script
from voicefleet.loadtest.metrics import CallerMetrics
from voicefleet.loadtest.mix import CallerMix, spoken_by
from voicefleet.loadtest.progress import Progress, showing
from voicefleet.loadtest.scenario import Scenario
from voicefleet.loadtest.surroundings import Surroundings
from voicefleet.loadtest.targets import TicketSource
from voicefleet.loadtest.thresholds import Condition
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
    until: Condition | None = None,
    part: PartOfRun | None = None,
) -> LoadRun:
    """Place the calls of `scenario` at `offsets_s` (seconds from now), and hold them to their ends.

    Args:
        engine: who holds them, one of `Engine`.
        until: what must stay true, shown in place of what the scenario says must not become true; None: that.
        part: where these calls are a share of a larger run.

    Raises:
        UsageError: no caller could join, or no agent came to any: calls that are open are hung up first. Or the engine
            is not there.
    """
    async with running_engine(engine) as holder:
        return await _run(scenario, offsets_s, source, holder, console, measures, title, until, part)


async def _run(
    scenario: Scenario,
    offsets_s: Sequence[float],
    source: TicketSource,
    engine: CallerEngine,
    console: Console,
    measures: CallerMetrics,
    title: str,
    until: Condition | None,
    part: PartOfRun | None,
) -> LoadRun:
    clock = SystemClock()
    surroundings = Surroundings(source, len(offsets_s))
    mix = CallerMix(scenario.callers, scenario.seed, CallerSettings(scenario.callers.behavior, engine=engine))
    settings = SwarmSettings(turns=scenario.callers.turns, seed=scenario.seed, plan=mix.plan)
    clips = spoken_by(scenario.callers)
    numbers = range(len(offsets_s)) if part is None else part.numbers
    said = itertools.chain.from_iterable(script(number, settings, clips) for number in numbers)
    await engine.prepare(list(dict.fromkeys(said)), mix.background)
    start_s = None if part is None else await part.start()
    progress = Progress(
        offsets_s,
        clock,
        title,
        timeout_s=scenario.callers.turn_timeout_s,
        fail_if=scenario.conditions if until is None else (),
        until=until,
    )

    def on_event(call_id: str, kind: str, t_s: float, data: Mapping[str, Any]) -> None:
        progress.on_event(call_id, kind, t_s, data)
        measures.on_event(call_id, kind, t_s, data)
        if part is not None:
            part.on_event(call_id, kind, t_s, data)

    swarm = run_swarm(
        offsets_s,
        lambda call: source.place(call, mix.patience_s(call)),
        clips,
        settings,
        on_event=on_event,
        elsewhere=source.elsewhere,
        numbers=numbers,
        start_s=start_s,
    )
    began_s = clock.monotonic()
    async with (
        part.meter if part is not None else HealthMeter(clock) as meter,
        contextlib.aclosing(swarm),
        showing(progress, console, clock, lambda: _health(meter, engine, clock.monotonic() - began_s)),
    ):
        async for outcome in swarm:
            progress.finished(outcome)
            measures.finished(outcome)
            if part is not None:
                part.on_outcome(outcome)
            # A generator without CPU fails to join, whatever the surroundings are.
            if (wrong := surroundings.wrong(outcome)) and not meter.health().void:
                raise wrong
    wall_s = clock.monotonic() - began_s
    health = await _health(meter, engine, wall_s)
    return LoadRun(tuple(progress.outcomes), health, wall_s, engine_json(engine))


async def _health(meter: HealthMeter, engine: CallerEngine, wall_s: float) -> GeneratorHealth:
    return await with_engine(meter.health(), engine, wall_s)
