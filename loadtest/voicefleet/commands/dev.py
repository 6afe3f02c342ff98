"""`voicefleet dev`: its options."""

from __future__ import annotations

from typing import Annotated

import typer

from voicefleet.runtime.command.options import JsonOption


def dev(
    agent: Annotated[
        str, typer.Option(help="MODULE_OR_FILE:NAME of an AgentServer, an entrypoint, or a function that makes it.")
    ],
    tiers: Annotated[str, typer.Option(help="Tiers file, or a built-in; what a worker would take when left out.")] = "",
    call: Annotated[bool, typer.Option("--call", help="Place one call, print what it hears, and end.")] = False,
    turns: Annotated[int, typer.Option(help="Questions per call.")] = 2,
    say: Annotated[
        list[str] | None, typer.Option(help="What the caller says: a sentence, or a WAV file; may be repeated.")
    ] = None,
    reload: Annotated[bool, typer.Option("--reload/--no-reload", help="Restart on a change of the agent.")] = True,
    json_path: JsonOption = None,
) -> None:
    """Run your agent in a fleet of one on this machine, restart it on change, and call it from the terminal."""
    from voicefleet.dev.command import dev as run_it
    from voicefleet.dev.options import DevOptions

    options = DevOptions(agent, tiers, call, turns, tuple(say or ()), reload)
    raise typer.Exit(run_it(options, json_path=json_path))
