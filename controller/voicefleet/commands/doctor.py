"""`voicefleet doctor`: its options."""

from __future__ import annotations

import typer

from voicefleet.runtime.command.options import JsonOption


def doctor(json_path: JsonOption = None) -> None:
    """Check this machine and the servers that the environment names; a line per finding, with the way out."""
    from voicefleet.doctor.command import doctor as run_it

    raise typer.Exit(run_it(json_path=json_path))
