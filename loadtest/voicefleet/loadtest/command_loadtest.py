"""`voicefleet loadtest`: many calls in an open loop, and a verdict."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from voicefleet.callers.behavior import CallerBehavior
from voicefleet.callers.caller import CallerSettings
from voicefleet.callers.engines import Engine, engine_json, running_engine, with_engine
from voicefleet.callers.health import HealthMeter
from voicefleet.callers.outcome import CallOutcome, quantiles
from voicefleet.callers.swarm import SwarmSettings, run_swarm
from voicefleet.callers.tickets import call_request
from voicefleet.callers.verdict import counts_line, waits_table
from voicefleet.contract.api import CallTicket
from voicefleet.contract.errors import ConfigError, UnreachableError
from voicefleet.contract.parsing.limits import require_between
from voicefleet.contract.parsing.validation import nearest
from voicefleet.loadtest.command_call import MAX_TURNS
from voicefleet.loadtest.destinations import Destinations
from voicefleet.loadtest.metrics import serving
from voicefleet.loadtest.result import DEFAULT, Verdict, build_result
from voicefleet.loadtest.thresholds import Condition, parse_condition
from voicefleet.reporting.table import print_problems, shown
from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.command.asking import ask
from voicefleet.runtime.command.settings import controller_access
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.speech.clips import load_utterances
from voicefleet.traffic.arrivals import poisson


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """One load test.

    Attributes:
        controller: ``http://HOST:PORT``; None: the environment's.
        calls, turns: how many calls, and questions in each.
        rate: mean arrivals per second, of a Poisson process.
        regions: calls take turns among them; empty: the controller chooses.
        seed: the same seed gives the same arrivals and questions.
        patience_s: how long a caller waits for a place in a full fleet, and in silence before hanging up.
        metrics: HOST:PORT where Prometheus finds what callers hear, while the run lasts; None: nowhere.
        tier, agent: of every call; None: the platform's choice.
        engine: who holds the calls: go or python.
        fail_if: conditions that must not become true, such as ``ttfa_p95>1.0``; none: every caller must be answered.
    """

    controller: str | None = None
    calls: int = 20
    rate: float = 0.5
    turns: int = 3
    regions: tuple[str, ...] = ()
    seed: int = 1
    patience_s: float = 60.0
    metrics: str | None = None
    tier: str | None = None
    agent: str | None = None
    fail_if: tuple[str, ...] = ()
    engine: str = Engine.PYTHON

    def __post_init__(self) -> None:
        require_between("calls", self.calls, 1, 10_000)
        require_between("rate", self.rate, 0.001, 1000)
        require_between("turns", self.turns, 1, MAX_TURNS)
        require_between("seed", self.seed, 0, 2**32)
        require_between("patience", self.patience_s, CallerBehavior().turn_timeout_s, 3600)
        if self.engine not in list(Engine):
            raise ConfigError(
                "no such engine", field="--engine", value=self.engine, hint=nearest(self.engine, list(Engine))
            )
        _ = self.conditions

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What `fail_if` says."""
        return tuple(parse_condition(text, field="--fail-if") for text in self.fail_if)


class Progress:
    """What is shown while the test runs: calls placed, live and finished, and the answers' speed so far."""

    def __init__(self, calls: int) -> None:
        self.outcomes: list[CallOutcome] = []
        self._calls = calls
        self._placed = 0
        self._live: set[str] = set()

    def on_event(self, call_id: str, kind: str, _t_s: float, _data: Mapping[str, Any]) -> None:
        """The swarm's events."""
        if kind == "due":
            self._placed += 1
        elif kind == "joined":
            self._live.add(call_id)

    def finished(self, outcome: CallOutcome) -> None:
        """A call is over."""
        self._live.discard(outcome.call_id)
        self.outcomes.append(outcome)

    def render(self) -> RenderableType:
        """The picture at this moment."""
        heard = quantiles([t.ttfa_s for o in self.outcomes for t in o.turns if t.ttfa_s is not None])
        text = (
            f"calls: {self._placed} of {self._calls} placed, {len(self._live)} live, {len(self.outcomes)} finished\n"
            f"TTFA so far: p50 {shown(heard['p50'], ' s')}, p95 {shown(heard['p95'], ' s')}"
        )
        return Panel(Text(text), title="voicefleet loadtest")


def loadtest(options: LoadOptions, destinations: Destinations, *, console: Console | None = None) -> int:
    """Run the load to its end.

    Returns:
        0 when no condition of `fail_if` became true (without any: when every caller heard an answer to every turn and
        no call was cut); 1 otherwise; 3 when the generator itself was too late for its figures to count.

    Raises:
        UsageError: the controller does not answer, or has no such region.
    """
    console = console or Console()
    result = asyncio.run(_run(options, console))
    destinations.write(result, "voicefleet loadtest")
    show(result, console)
    return Verdict(result["verdict"]).exit_code


async def _run(options: LoadOptions, console: Console) -> dict[str, Any]:
    clock = SystemClock()
    access = controller_access(options.controller)
    requests = [call_request(region, options.tier, agent=options.agent) for region in options.regions or (None,)]
    offsets = [float(t) for t in poisson(options.rate, options.calls, np.random.default_rng(options.seed))]
    progress = Progress(options.calls)
    async with (
        running_engine(options.engine) as engine,
        ControllerClient(access.url, key=access.key) as client,
        serving(options.metrics) as measures,
    ):
        await _require_regions(options.regions, access.url, client)
        callers = CallerSettings(behavior=CallerBehavior(patience_s=options.patience_s), engine=engine)

        async def place_call(i: int) -> CallTicket:
            return await ask(access.url, client.create_call(requests[i % len(requests)], patience_s=options.patience_s))

        def on_event(call_id: str, kind: str, t_s: float, data: Mapping[str, Any]) -> None:
            progress.on_event(call_id, kind, t_s, data)
            measures.on_event(call_id, kind, t_s, data)

        swarm = run_swarm(
            offsets,
            place_call,
            load_utterances(),
            SwarmSettings(turns=options.turns, seed=options.seed, caller=callers),
            on_event=on_event,
        )
        began_s = clock.monotonic()
        async with HealthMeter(clock) as meter, contextlib.aclosing(swarm):
            with Live(get_renderable=progress.render, console=console, refresh_per_second=2, transient=True):
                async for outcome in swarm:
                    progress.finished(outcome)
                    measures.finished(outcome)
        wall_s = clock.monotonic() - began_s
        health = await with_engine(meter.health(), engine, wall_s, len(os.sched_getaffinity(0)))
    return build_result(progress.outcomes, health, wall_s, fail_if=options.conditions, engine=engine_json(engine))


async def _require_regions(wanted: Sequence[str], url: str, client: ControllerClient) -> None:
    try:
        known = [view.region for view in await ask(url, client.regions())]
    except UnreachableError as error:
        if error.value == 403 and not wanted:
            return  # a key that may place calls and read nothing is all that is needed
        raise
    for region in wanted:
        if region not in known:
            raise ConfigError("no such region", field="--regions", value=region, hint=nearest(region, known))


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print a result."""
    console.print(waits_table(result, "voicefleet loadtest"))
    console.print(f"{counts_line(result)}, {result['turns_cut_in']} cut in; {result['wall_s']} s")
    health = result["generator"]
    console.print(
        f"generator: event loop late by {shown(health['lag_p99_s'], ' s', 3)} (p99), "
        f"{shown(health['lag_max_s'], ' s', 3)} (longest), {health['cpu_share']:.0%} of the cores"
    )
    if (engine := result["engine"]) is not None and engine["name"] == Engine.GO:
        console.print(
            f"engine go: frames late by {shown(health['pacing_p99_s'], ' s', 4)} (p99), "
            f"{shown(health['pacing_max_s'], ' s', 3)} (longest); onsets are times of arrival, "
            f"and a real client's playout adds about {engine['playout_delay_s']} s",
            soft_wrap=True,
        )
    for sentence in result["remarks"]:
        console.print(f"not judged: {sentence}", markup=False, highlight=False, soft_wrap=True)
    print_problems(console, result["shortcomings"])
    if result["verdict"] == "good":
        console.print(
            f"held: {', '.join(_held(result))}", style="bold green", markup=False, highlight=False, soft_wrap=True
        )


def _held(result: Mapping[str, Any]) -> list[str]:
    """What a good run has shown."""
    thresholds = [
        f"not {c['name']} ({shown(c['value'], digits=3)})" for c in result["criteria"] if c["value"] is not None
    ]
    return thresholds or [DEFAULT]
