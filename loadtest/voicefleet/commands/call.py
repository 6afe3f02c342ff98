"""`voicefleet call`: its options."""

from __future__ import annotations

from typing import Annotated

import typer

from voicefleet.runtime.command.options import ControllerOption, JsonOption


def call(
    controller_url: ControllerOption = None,
    livekit_url: Annotated[
        str | None,
        typer.Option(help="Go straight to this LiveKit, with a token of our own from LIVEKIT_API_KEY and _SECRET."),
    ] = None,
    agent_name: Annotated[str, typer.Option(help="Whom our own token asks for.")] = "voicefleet",
    region: Annotated[str | None, typer.Option(help="Where the call goes; any region when left out.")] = None,
    tier: Annotated[str | None, typer.Option(help="Tier of the pipeline; the worker's default when left out.")] = None,
    turns: Annotated[int, typer.Option(help="Questions to ask.")] = 3,
    json_path: JsonOption = None,
) -> None:
    """Place one call and say what the caller hears. The controller's key comes from VOICEFLEET_CONTROLLER_KEY."""
    from voicefleet.loadtest.command_call import CallOptions
    from voicefleet.loadtest.command_call import call as run_it

    options = CallOptions(controller_url, livekit_url, agent_name, region, tier, turns)
    raise typer.Exit(run_it(options, json_path=json_path))
