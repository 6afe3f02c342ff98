"""`voicefleet drain`: its options."""

from __future__ import annotations

from typing import Annotated

import typer

from voicefleet.runtime.command.options import ControllerOption, JsonOption


def drain(
    worker: Annotated[str, typer.Argument(help="The worker's name, as GET /v1/regions shows it.")],
    controller_url: ControllerOption = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has no call left.")] = True,
    timeout: Annotated[float, typer.Option(help="Longest wait, in seconds.")] = 120.0,
    json_path: JsonOption = None,
) -> None:
    """Drain a worker: it hands its live calls to other workers, then ends. The key is VOICEFLEET_CONTROLLER_KEY."""
    from voicefleet.client.drain import DrainOptions
    from voicefleet.client.drain import drain as run_it

    options = DrainOptions(worker, controller_url, wait, timeout)
    raise typer.Exit(run_it(options, json_path=json_path))
