"""`voicefleet explain`: its options."""

from __future__ import annotations

from typing import Annotated

import typer

from voicefleet.runtime.command.options import ControllerOption, JsonOption


def explain(
    pool: Annotated[str, typer.Argument(help="The region's name.")],
    controller_url: ControllerOption = None,
    limit: Annotated[int, typer.Option(help="How many decisions to show.")] = 10,
    json_path: JsonOption = None,
) -> None:
    """Show what is wrong with a pool and why it has its size: its last decisions, with their numbers.

    Ends with 1 when its region is not ok.
    """
    from voicefleet.client.explain import explain as run_it

    raise typer.Exit(run_it(pool, controller_url, limit=limit, json_path=json_path))
