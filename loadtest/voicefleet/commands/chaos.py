"""`voicefleet chaos`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicefleet.contract.parsing.listed import listed
from voicefleet.runtime.command.options import JsonOption


def chaos(
    only: Annotated[
        list[str] | None, typer.Option(help="Scenarios to run, a,b, or once for each; all when left out. See --list.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs of each scenario; 5, or 1 with --quick.")] = None,
    first_seed: Annotated[int, typer.Option(help="The seeds count up from here.")] = 1,
    quick: Annotated[bool, typer.Option(help="The few fast scenarios, once each, with fewer calls.")] = False,
    logs: Annotated[Path | None, typer.Option(help="Keep every fleet's logs in this folder.")] = None,
    alerts: Annotated[bool, typer.Option(help="Instead: play which alerts each fault sets off.")] = False,
    list_them: Annotated[bool, typer.Option("--list", help="List the scenarios and run none.")] = False,
    json_path: JsonOption = None,
) -> None:
    """Break a real fleet, one fault per scenario, and measure what each caller hears.

    With --alerts: play each fault against a real Prometheus and Alertmanager with the shipped rules, and check which
    alerts come, in what order, when, which do not, and when they are resolved.
    """
    from voicefleet.chaos.alerts.command import alerts as run_alerts
    from voicefleet.chaos.alerts.command import list_faults
    from voicefleet.chaos.command import chaos as run_it
    from voicefleet.chaos.command import list_scenarios
    from voicefleet.chaos.options import ChaosOptions

    if list_them:
        (list_faults if alerts else list_scenarios)()
        return
    names = listed(*only or ())
    if alerts:
        raise typer.Exit(run_alerts(names, quick=quick, logs=logs, json_path=json_path))
    options = ChaosOptions(names, seeds, first_seed, quick, logs)
    raise typer.Exit(run_it(options, json_path=json_path))
