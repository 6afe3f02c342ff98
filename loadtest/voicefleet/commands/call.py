"""`voicefleet call`: its options."""

from __future__ import annotations

from typing import Annotated

import typer

from voicefleet.runtime.command.options import ControllerOption, JsonOption

app = typer.Typer(help="Place one call and print what the caller hears, or show a call as a timeline.")


@app.callback(invoke_without_command=True)
def call(
    context: typer.Context,
    controller_url: ControllerOption = None,
    livekit_url: Annotated[
        str | None,
        typer.Option(help="Call this LiveKit without the controller; LIVEKIT_API_KEY and _SECRET make the token."),
    ] = None,
    agent_name: Annotated[str, typer.Option(help="Agent name in that token.")] = "voicefleet",
    region: Annotated[str | None, typer.Option(help="Region of the call; any when left out.")] = None,
    tier: Annotated[str | None, typer.Option(help="Tier of the pipeline; the worker's default when left out.")] = None,
    language: Annotated[
        str | None, typer.Option(help="Language that the call is ordered with, such as es or de-AT.")
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Agent, of a region that has several.")] = None,
    turns: Annotated[int, typer.Option(help="Questions to ask.")] = 3,
    json_path: JsonOption = None,
) -> None:
    """Place one call and print what the caller hears, or show a call as a timeline.

    The controller's key comes from VOICEFLEET_CONTROLLER_KEY.
    """
    if context.invoked_subcommand is not None:
        return
    from voicefleet.loadtest.command_call import CallOptions
    from voicefleet.loadtest.command_call import call as run_it

    options = CallOptions(controller_url, livekit_url, agent_name, region, tier, turns, language, agent)
    raise typer.Exit(run_it(options, json_path=json_path))


@app.command()
def show(
    room: Annotated[str, typer.Argument(help="The call's room, or its id, as `voicefleet calls` lists it.")],
    controller_url: ControllerOption = None,
    region: Annotated[str | None, typer.Option(help="Of this region alone.")] = None,
    json_path: JsonOption = None,
) -> None:
    """Show one call, also days after its end: when its caller heard nobody and why; as `voicefleet calls show`."""
    from voicefleet.contract.errors import MissingPartError
    from voicefleet.runtime.command.discovery import installed_modules, load

    # It is the controller's; an image of the callers alone has it not.
    if "calls" not in installed_modules("commands"):
        raise MissingPartError(
            "this installation has no commands of the controller",
            field="show",
            hint="Use `voicefleet calls show ROOM` where the controller is installed.",
        )
    load("commands", "calls").show(room, controller_url, region, json_path)
