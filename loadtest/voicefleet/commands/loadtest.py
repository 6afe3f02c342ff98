"""`voicefleet loadtest`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicefleet.contract.parsing.listed import listed
from voicefleet.runtime.command.options import ControllerOption, JsonOption

_HELP = """Place many calls with real speech, and judge what callers heard. The key is VOICEFLEET_CONTROLLER_KEY.

Exit codes: 0 it held; 1 it did not; 2 wrong input or surroundings; 3 void, the load generator itself was too late.
"""
app = typer.Typer(help=_HELP)

FailIfOption = Annotated[
    list[str] | None,
    typer.Option("--fail-if", help="Condition that must not become true, such as ttfa_p95>1.0; may be given again."),
]
CsvOption = Annotated[Path | None, typer.Option("--csv", help="Directory for calls.csv and turns.csv.")]
JunitOption = Annotated[Path | None, typer.Option("--junit", help="Write the verdict to this file as JUnit XML.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write the result to this file as a page of HTML.")]


@app.callback(invoke_without_command=True)
def loadtest(
    context: typer.Context,
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
    engine: Annotated[
        str, typer.Option(help="Who holds the calls: python, or go (hundreds of calls a core).")
    ] = "python",
    fail_if: FailIfOption = None,
    csv: CsvOption = None,
    junit: JunitOption = None,
    html: HtmlOption = None,
    json_path: JsonOption = None,
) -> None:
    """Place many calls with real speech, and judge what callers heard."""
    if context.invoked_subcommand is not None:
        return
    from voicefleet.loadtest.command_loadtest import LoadOptions
    from voicefleet.loadtest.command_loadtest import loadtest as run_it
    from voicefleet.loadtest.destinations import Destinations

    options = LoadOptions(
        controller_url,
        calls,
        rate,
        turns,
        listed(regions),
        seed,
        patience,
        metrics,
        tier,
        agent,
        tuple(fail_if or ()),
        engine,
    )
    raise typer.Exit(run_it(options, Destinations(json_path, csv, junit, html)))
