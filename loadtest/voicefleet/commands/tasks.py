"""`voicefleet tasks`: its options."""

from __future__ import annotations

from typing import Annotated

import typer

from voicefleet.runtime.command.options import JsonOption


def tasks(
    path: Annotated[
        str, typer.Argument(metavar="TASKS", help="A task file, a folder with a tasks.yaml, or desk.")
    ] = "desk",
    json_path: JsonOption = None,
) -> None:
    """Check a file of spoken tasks, and list what is in it; no call is placed."""
    from voicefleet.tasks.command import show_tasks

    raise typer.Exit(show_tasks(path, json_path=json_path))
