"""`voicefleet loadtest`: its options."""

from __future__ import annotations

from typing import Annotated

import typer

from voicefleet.contract.parsing.listed import listed
from voicefleet.runtime.command.options import ControllerOption, JsonOption


def loadtest(
    controller_url: ControllerOption = None,
    calls: Annotated[int, typer.Option(help="Calls to place.")] = 20,
    rate: Annotated[float, typer.Option(help="Mean arrivals per second; a call never waits for earlier calls.")] = 0.5,
    turns: Annotated[int, typer.Option(help="Questions per call.")] = 3,
    regions: Annotated[str, typer.Option(help="Regions to call in turn, a,b; the controller chooses if empty.")] = "",
    tier: Annotated[str | None, typer.Option(help="Tier of every call; the platform's choice when left out.")] = None,
    agent: Annotated[str | None, typer.Option(help="Agent of every call, of regions that have several.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same calls.")] = 1,
    patience: Annotated[float, typer.Option(help="Seconds a caller waits for a free slot, and in silence.")] = 60.0,
    metrics: Annotated[
        str | None, typer.Option(help="HOST:PORT of the callers' metrics for Prometheus, during the run.")
    ] = None,
    json_path: JsonOption = None,
) -> None:
    """Place many calls with real speech, and judge what callers heard. The key is VOICEFLEET_CONTROLLER_KEY."""
    from voicefleet.loadtest.command_loadtest import LoadOptions
    from voicefleet.loadtest.command_loadtest import loadtest as run_it

    options = LoadOptions(controller_url, calls, rate, turns, listed(regions), seed, patience, metrics, tier, agent)
    raise typer.Exit(run_it(options, json_path=json_path))
