"""`voicefleet status`: its options."""

from __future__ import annotations

from typing import Annotated

import typer

from voicefleet.runtime.command.options import ControllerOption, JsonOption


def status(
    controller_url: ControllerOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two refreshes with --watch.")] = 1.0,
    json_path: JsonOption = None,
) -> None:
    """Show the fleet: what is wrong and what to do, regions, workers, waiting calls, the last incidents and decisions.

    The key is VOICEFLEET_CONTROLLER_KEY; without one only the state is shown. Ends with 0 when every region is ok, with
    1 when one is degraded, unknown or failing.
    """
    from voicefleet.client.status import StatusOptions
    from voicefleet.client.status import status as run_it

    raise typer.Exit(run_it(StatusOptions(controller_url, watch, every), json_path=json_path))
