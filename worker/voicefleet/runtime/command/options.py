"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicefleet.runtime.command.files import place_for_result

JsonOption = Annotated[
    Path | None,
    typer.Option("--json", help="Write the result to this file as JSON.", callback=place_for_result),
]
ControllerOption = Annotated[
    str | None, typer.Option("--controller", help="http://HOST:PORT; else VOICEFLEET_CONTROLLER_URL.")
]
BeginOption = Annotated[
    str, typer.Option("--from", help="That started then or later: 02:13, 2026-11-28T02:13, 3h (ago); UTC.")
]
EndOption = Annotated[str, typer.Option("--to", help="That started before: as --from, or now.")]
