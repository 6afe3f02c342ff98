"""`voicefleet calls`: its options."""

from __future__ import annotations

from typing import Annotated

import typer

from voicefleet.runtime.command.options import ControllerOption, JsonOption

app = typer.Typer(help="List the calls there are, or show one as a timeline. The key is VOICEFLEET_CONTROLLER_KEY.")

_Region = Annotated[str | None, typer.Option(help="Of this region alone.")]


@app.callback(invoke_without_command=True)
def calls(
    context: typer.Context,
    controller_url: ControllerOption = None,
    region: _Region = None,
    json_path: JsonOption = None,
) -> None:
    """List the calls there are, or show one as a timeline. The key is VOICEFLEET_CONTROLLER_KEY.

    Ends with 1 when one of them waits for an agent.
    """
    if context.invoked_subcommand is not None:
        return
    from voicefleet.client.calls import calls as run_it

    raise typer.Exit(run_it(controller_url, region=region, json_path=json_path))


@app.command()
def show(
    room: Annotated[str, typer.Argument(help="The call's room, as `voicefleet calls` lists it.")],
    controller_url: ControllerOption = None,
    region: _Region = None,
    json_path: JsonOption = None,
) -> None:
    """Show one call: its agents, its turns with their stages, and what else happened, in order."""
    from voicefleet.client.calls import show as run_it

    raise typer.Exit(run_it(room, controller_url, region=region, json_path=json_path))
