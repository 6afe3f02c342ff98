"""`voicefleet check`: its options."""

from __future__ import annotations

from typing import Annotated

import typer

from voicefleet.runtime.command.options import JsonOption


def check(
    agent: Annotated[
        str,
        typer.Option(
            help="MODULE_OR_FILE:NAME of an AgentServer, an entrypoint, or a function that makes it; the built-in "
            "assistant when left out."
        ),
    ] = "",
    tiers: Annotated[str, typer.Option(help="Tiers file, or a built-in; what a worker would take when left out.")] = "",
    any_variable: Annotated[
        bool, typer.Option("--any-variable", help="Take every environment variable that the tiers name for set.")
    ] = False,
    json_path: JsonOption = None,
) -> None:
    """Say what the fleet would do with your agent: stages, turns, hooks, what moves. Starts no server."""
    from voicefleet.worker.check.command import check as run_it

    raise typer.Exit(run_it(agent, tiers, any_variable=any_variable, json_path=json_path))
