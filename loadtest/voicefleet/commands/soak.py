"""`voicefleet soak`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicefleet.runtime.command.options import JsonOption


def soak(
    minutes: Annotated[float | None, typer.Option(help="Length of the run; 30, or 1 with --quick.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same faults and questions.")] = 1,
    quick: Annotated[bool, typer.Option(help="A minute, with fewer calls.")] = False,
    logs: Annotated[Path | None, typer.Option(help="Keep the fleet's logs in this folder.")] = None,
    json_path: JsonOption = None,
) -> None:
    """Run calls and random faults for half an hour; then all counts must add up and nothing may have grown."""
    from voicefleet.chaos.soak.command import soak as run_it
    from voicefleet.chaos.soak.plan import SoakOptions

    raise typer.Exit(run_it(SoakOptions(minutes, seed, quick, logs), json_path=json_path))
