"""`voicefleet export`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicefleet.reporting.result import require_writable
from voicefleet.runtime.command.options import BeginOption, ControllerOption, EndOption

app = typer.Typer(help="Write what the fleet has seen as files for other commands.", no_args_is_help=True)


def _place(path: Path | None) -> Path | None:
    return path and require_writable(path, "--output")


@app.callback()
def export() -> None:
    """Write what the fleet has seen as files for other commands."""


@app.command()
def calls(
    controller_url: ControllerOption = None,
    begin: BeginOption = "24h",
    end: EndOption = "now",
    region: Annotated[str | None, typer.Option(help="Of this region; needed where there are several.")] = None,
    output: Annotated[Path | None, typer.Option(help="The file; without it, standard output.", callback=_place)] = None,
) -> None:
    """Write the calls that have ended as a trace, arrival_s,duration_s, for `simulate --trace` and `plan --trace`."""
    from voicefleet.client.export import export_calls

    raise typer.Exit(export_calls(controller_url, begin=begin, end=end, region=region, output=output))
