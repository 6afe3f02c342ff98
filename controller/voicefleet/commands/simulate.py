"""`voicefleet simulate`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicefleet.runtime.command.files import place_for_report
from voicefleet.runtime.command.options import JsonOption

SlotsOption = Annotated[int, typer.Option(help="Calls a worker serves at once.")]
StartP50Option = Annotated[float, typer.Option("--start-p50", help="Median start time of a worker, seconds.")]
StartSigmaOption = Annotated[float, typer.Option(help="Spread of start times: sigma of a lognormal distribution.")]
HandoffOption = Annotated[bool, typer.Option("--handoff/--no-handoff", help="Draining workers hand their calls over.")]


def simulate(
    trace: Annotated[
        Path | None, typer.Option(help="CSV arrival_s,duration_s (or arrival_s), or Prometheus JSON.")
    ] = None,
    traffic: Annotated[
        str | None, typer.Option(help="Generated calls: stationary, diurnal, gamma, burst, batches, campaign, azure.")
    ] = None,
    prometheus: Annotated[str | None, typer.Option(help="Ask this Prometheus for the calls, with --query.")] = None,
    query: Annotated[str | None, typer.Option(help="PromQL query for the calls that began in each minute.")] = None,
    hours: Annotated[float, typer.Option(help="Hours of history to ask Prometheus for.")] = 24.0,
    mean_live: Annotated[
        float | None, typer.Option(help="Stretch the trace in time to this mean number of live calls.")
    ] = None,
    calls: Annotated[int, typer.Option(help="Number of generated calls.")] = 20_000,
    mean_duration: Annotated[
        float | None, typer.Option(help="Mean duration, seconds, where the trace has none.")
    ] = None,
    policies: Annotated[str, typer.Option(help="all, or names: a,b.")] = "all",
    slots: SlotsOption = 10,
    start_p50: StartP50Option = 35.0,
    start_sigma: StartSigmaOption = 0.25,
    seed: Annotated[int, typer.Option(help="The same seed gives the same simulation.")] = 1,
    handoff: HandoffOption = True,
    packing: Annotated[bool, typer.Option(help="Dispatch to the fullest worker; LiveKit does not.")] = False,
    min_workers: Annotated[int, typer.Option(help="Least workers.")] = 1,
    max_workers: Annotated[int, typer.Option(help="Most workers.")] = 10_000,
    grace: Annotated[float, typer.Option(help="Seconds after which a worker that was told to end is killed.")] = 3600.0,
    fault: Annotated[list[str] | None, typer.Option(help="KIND@AT+FOR in seconds, e.g. stale@3600+120.")] = None,
    allowed: Annotated[float, typer.Option(help="Share of calls that may wait.")] = 0.001,
    sweep: Annotated[bool, typer.Option("--sweep", help="Try each baseline with many buffers; show its best.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write a page of HTML.", callback=place_for_report)] = None,
    json_path: JsonOption = None,
) -> None:
    """Simulate calls under our policy and the baselines, and compare waits and cost."""
    from voicefleet.simulator.command import Source, faults_of, named_as_options
    from voicefleet.simulator.command import simulate as run_it
    from voicefleet.simulator.world import World

    source = Source(trace, traffic, calls, mean_live, mean_duration, prometheus, query, hours, seed)
    with named_as_options():
        world = World(
            slots=slots,
            start_p50_s=start_p50,
            start_sigma=start_sigma,
            min_workers=min_workers,
            max_workers=max_workers,
            handoff=handoff,
            packing=packing,
            grace_s=grace,
            faults=faults_of(fault or []),
            seed=seed,
        )
    code = run_it(source, world, policies=policies, allowed=allowed, sweep=sweep, report=report, json_path=json_path)
    raise typer.Exit(code)
