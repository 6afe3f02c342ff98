"""`voicefleet calls`: its options."""

from __future__ import annotations

from typing import Annotated

import typer

from voicefleet.runtime.command.options import BeginOption, ControllerOption, EndOption, JsonOption

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
def past(
    controller_url: ControllerOption = None,
    begin: BeginOption = "1h",
    end: EndOption = "now",
    region: _Region = None,
    room: Annotated[str | None, typer.Option(help="In rooms of this name.")] = None,
    silent: Annotated[
        bool, typer.Option("--silent", help="Those alone whose caller heard nobody for 3 s or more.")
    ] = False,
    json_path: JsonOption = None,
) -> None:
    """List calls that have ended, by when they started: how long they waited, and their longest silence."""
    from voicefleet.client.calls import past as run_it

    code = run_it(controller_url, begin=begin, end=end, region=region, room=room, silent=silent, json_path=json_path)
    raise typer.Exit(code)


@app.command()
def show(
    room: Annotated[str, typer.Argument(help="The call's room, or its id, as `voicefleet calls` lists it.")],
    controller_url: ControllerOption = None,
    region: _Region = None,
    json_path: JsonOption = None,
) -> None:
    """Show one call, also days after its end: when its caller heard nobody and why, and what happened, in order."""
    from voicefleet.client.calls import show as run_it

    raise typer.Exit(run_it(room, controller_url, region=region, json_path=json_path))
