"""`voicefleet dashboards`: its commands and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicefleet.runtime.command.options import JsonOption

app = typer.Typer(no_args_is_help=True, help="Grafana dashboards, Prometheus rules and runbooks.")


@app.command()
def generate(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("dashboards"),
    chart: Annotated[Path | None, typer.Option(help="Write dashboards and rules to this folder instead.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write the page of the runbooks to this folder.")] = None,
    runbooks: Annotated[
        str, typer.Option(help="Where alerts lead to: https://CONTROLLER/runbooks, which every controller serves.")
    ] = "",
    check: Annotated[bool, typer.Option("--check", help="Write nothing; name the files that differ.")] = False,
) -> None:
    """Write the dashboards, rules and runbooks as files."""
    from voicefleet.dashboards.command import generate as run_it

    raise typer.Exit(run_it(out, chart, page, runbooks=runbooks, check=check))


@app.command()
def verify(
    prometheus: Annotated[str, typer.Option(help="Address of your Prometheus, http://HOST:PORT.")],
    rate_interval: Annotated[str, typer.Option(help="Window of rates: four of your scrapes at least.")] = "1m",
    json_path: JsonOption = None,
) -> None:
    """Run every query of every dashboard against your Prometheus, and list those without data."""
    from voicefleet.dashboards.command import verify_queries as run_it

    raise typer.Exit(run_it(prometheus, rate_interval=rate_interval, json_path=json_path))
