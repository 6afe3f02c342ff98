"""`voicefleet loadtest`: many calls in an open loop, and a verdict."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from voicefleet.callers.behavior import CallerBehavior
from voicefleet.callers.engines import Engine, require_engine
from voicefleet.callers.verdict import counts_line, waits_table
from voicefleet.contract.errors import ConfigError, MissingPartError
from voicefleet.contract.parsing.limits import require_between
from voicefleet.loadtest.arrivals import MAX_CALLS, Arrivals
from voicefleet.loadtest.command_search import SearchOptions, search, sentence
from voicefleet.loadtest.destinations import Destinations
from voicefleet.loadtest.heard import show_media, show_stages
from voicefleet.loadtest.metrics import serving
from voicefleet.loadtest.options import changed, on_kubernetes, require_conditions
from voicefleet.loadtest.result import DEFAULT, Verdict, build_result
from voicefleet.loadtest.run import run_scenario
from voicefleet.loadtest.scenario import MAX_TURNS, Callers, OnKubernetes, Scenario, Target, load_scenario
from voicefleet.loadtest.stage_times import require_told, with_stage_times
from voicefleet.loadtest.targets import open_target
from voicefleet.reporting.table import figures_table, print_problems, shown
from voicefleet.runtime.clock import SystemClock

NAME = "voicefleet loadtest"


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """One load test, as options tell it.

    Attributes:
        target: whom the calls go to.
        calls, turns: how many calls, and questions in each.
        rate: mean arrivals per second, of a Poisson process.
        seed: the same seed gives the same arrivals and questions.
        patience_s: how long a caller waits for a place in a full fleet, and in silence before hanging up.
        metrics: HOST:PORT where Prometheus finds what callers hear, while the run lasts; None: nowhere.
        engine: who holds the calls, one of `Engine`.
        fail_if: conditions that must not become true, such as ``ttfa_p95>1.0``; none: every caller must be answered.
        kubernetes: where pods place the calls; None: this process does.
    """

    target: Target = field(default_factory=Target)
    calls: int = 20
    rate: float = 0.5
    turns: int = 3
    seed: int = 1
    patience_s: float = 60.0
    metrics: str | None = None
    fail_if: tuple[str, ...] = ()
    engine: str = Engine.PYTHON
    kubernetes: OnKubernetes | None = None

    def __post_init__(self) -> None:
        require_between("calls", self.calls, 1, MAX_CALLS)
        require_between("rate", self.rate, 0.001, 1000)
        require_between("turns", self.turns, 1, MAX_TURNS)
        require_between("seed", self.seed, 0, 2**32)
        require_between("patience", self.patience_s, CallerBehavior().turn_timeout_s, 3600)
        require_conditions(self.fail_if)
        require_engine(self.engine)

    @property
    def scenario(self) -> Scenario:
        """The same as a scenario."""
        return Scenario(
            arrivals=Arrivals(rate=self.rate, calls=self.calls),
            callers=Callers(turns=self.turns, patience_s=self.patience_s),
            target=self.target,
            seed=self.seed,
            fail_if=self.fail_if,
            kubernetes=self.kubernetes,
        )


def loadtest(options: LoadOptions, destinations: Destinations, *, console: Console | None = None) -> int:
    """Run the load to its end.

    Returns:
        0 when no condition of `fail_if` became true (without any: when every caller heard an answer to every turn and
        no call was cut); 1 otherwise; 3 when the generator itself was too late for its figures to count; 4 when what
        was played held, but pods were lost with a part of the load.

    Raises:
        UsageError: nobody answers, the credentials are wrong, or there is no such region.
    """
    return _judged(options.scenario, NAME, options.metrics, options.engine, destinations, console or Console())


def run_file(
    path: Path,
    target: Mapping[str, Any],
    *,
    seed: int | None,
    fail_if: tuple[str, ...],
    metrics: str | None,
    engine: str,
    destinations: Destinations,
    until: SearchOptions | None = None,
    kubernetes: bool = False,
    pods: Mapping[str, Any] | None = None,
    console: Console | None = None,
) -> int:
    """Run the scenario in `path`, changed by options as `options.changed` says; with `until` search with its callers.

    Args:
        kubernetes, pods: as for `options.on_kubernetes`, over what the file says.

    Returns and raises as `loadtest` and `search_capacity`.
    """
    require_conditions(fail_if)
    require_engine(engine)
    found = load_scenario(path)
    where = on_kubernetes(kubernetes, pods or {}, found.kubernetes)
    scenario = changed(found, target, seed=seed, fail_if=fail_if, source=str(path), kubernetes=where)
    if until is not None:
        return search_capacity(
            scenario, until, metrics=metrics, engine=engine, destinations=destinations, name=path.name, console=console
        )
    return _judged(scenario, path.name, metrics, engine, destinations, console or Console())


def search_capacity(
    scenario: Scenario,
    options: SearchOptions,
    *,
    metrics: str | None,
    engine: str,
    destinations: Destinations,
    name: str = NAME,
    console: Console | None = None,
) -> int:
    """Find how many calls at once the pool holds; the scenario's callers and target are used, not its arrivals.

    Returns:
        0 when the edge was found, 1 when it lies below `options.at_least`, 3 when the generator itself was too late.

    Raises:
        UsageError: as `loadtest`.
    """
    destinations.require_no_page("a search")
    if scenario.kubernetes is not None:
        raise ConfigError(
            "is for one process: pods play one load, and a search many",
            field="--until-it-breaks",
            value=options.condition,
            hint="Leave out --kubernetes (--engine go holds hundreds of calls a core), or --until-it-breaks.",
        )
    console = console or Console()
    result = search(scenario, options, metrics=metrics, engine=engine, console=console)
    destinations.write(result, name)
    console.print(sentence(result), style="bold", markup=False, highlight=False, soft_wrap=True)
    print_problems(console, result["shortcomings"])
    return Verdict(result["verdict"]).exit_code


def _judged(
    scenario: Scenario, name: str, metrics: str | None, engine: str, destinations: Destinations, console: Console
) -> int:
    result = asyncio.run(_run(scenario, name, metrics, engine, console))
    destinations.write(result, name)
    show(result, console, name)
    return Verdict(result["verdict"]).exit_code


async def _run(scenario: Scenario, name: str, metrics: str | None, engine: str, console: Console) -> dict[str, Any]:
    if scenario.kubernetes is not None:
        return await _run_on_pods(scenario, scenario.kubernetes, name, metrics, engine, console)
    offsets_s = [float(offset) for offset in scenario.arrivals.offsets(scenario.seed)]
    async with open_target(scenario.target) as source, serving(metrics) as measures:
        require_told(scenario.conditions, source.read_call)
        run = await run_scenario(
            scenario, offsets_s, source, console=console, measures=measures, title=name, engine=engine
        )
        # After the run, which the reading must not disturb.
        with console.status("reading what the workers measured"):
            outcomes, reads = await with_stage_times(run.outcomes, source.read_call, SystemClock())
    return build_result(
        outcomes,
        run.health,
        run.wall_s,
        fail_if=scenario.conditions,
        timeout_s=scenario.callers.turn_timeout_s,
        engine=run.engine,
        reads=reads,
    )


async def _run_on_pods(
    scenario: Scenario, where: OnKubernetes, name: str, metrics: str | None, engine: str, console: Console
) -> dict[str, Any]:
    if metrics is not None:
        raise ConfigError(
            "is for calls of this process",
            field="--metrics",
            value=metrics,
            hint="Leave it out: each pod serves its metrics at its port `metrics` (podMonitor.enabled in the chart).",
        )
    if importlib.util.find_spec("kubernetes") is None:
        raise MissingPartError(
            "needs the client of Kubernetes", field="--kubernetes", hint="Install voicefleet[loadtest,controller]."
        )
    if scenario.target.livekit_url or scenario.target.token_url:
        require_told(scenario.conditions, None)
    from voicefleet.loadtest.pods.job import run_on_pods

    return await run_on_pods(scenario, where, engine=engine, console=console, title=name)


def show(result: Mapping[str, Any], console: Console, name: str = NAME) -> None:
    """Print a result."""
    console.print(waits_table(result, name))
    show_media(result, console)
    show_stages(result, console)
    console.print(f"{counts_line(result)}, {result['turns_cut_in']} cut in; {result['wall_s']} s", soft_wrap=True)
    if result["parts"]:
        console.print(_parts_table(result["parts"]))
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
    for remark in result["remarks"]:
        console.print(f"not judged: {remark}", markup=False, highlight=False, soft_wrap=True)
    print_problems(console, result["shortcomings"])
    if result["verdict"] == "good":
        held = f"held: {', '.join(_held(result))}"
        console.print(held, style="bold green", markup=False, highlight=False, soft_wrap=True)


def _parts_table(parts: Sequence[Mapping[str, Any]]) -> Table:
    table = figures_table("", "", ("calls", "loop late", "cores", "frames late"))
    for part in parts:
        health = part["generator"] or {}
        cpu_share = health.get("cpu_share")
        table.add_row(
            part["name"],
            f"{part['finished']} of {part['planned']}",
            shown(health.get("lag_p99_s"), " s", 3),
            "–" if cpu_share is None else f"{cpu_share:.0%}",
            shown(health.get("pacing_p99_s"), " s", 4),
        )
    return table


def _held(result: Mapping[str, Any]) -> list[str]:
    """What a good run has shown."""
    thresholds = [c for c in result["criteria"] if c["value"] is not None]
    return [f"not {c['name']} ({shown(c['value'], digits=3)})" for c in thresholds] or [DEFAULT]
