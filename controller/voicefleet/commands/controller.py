"""`voicefleet controller`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def controller(
    config: Annotated[Path, typer.Option(help="The controller's YAML file.")],
    ready_file: Annotated[Path | None, typer.Option(help="File for the controller's address, once it listens.")] = None,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Run the controller: it dispatches waiting calls, recovers lost ones, and scales each region's pool."""
    import asyncio

    import uvloop

    from voicefleet.controller.app import run_controller
    from voicefleet.controller.settings.load import load_settings
    from voicefleet.runtime.logs.setup import configure_logs
    from voicefleet.runtime.settings import log_personal_data

    configure_logs(log_level, personal_data=log_personal_data())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_controller(load_settings(config), ready_file=ready_file))
