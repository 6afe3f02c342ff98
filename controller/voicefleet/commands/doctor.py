"""`voicefleet doctor`: its options."""

from __future__ import annotations

import typer

from voicefleet.runtime.command.options import JsonOption


def doctor(json_path: JsonOption = None) -> None:
    """Check this machine and the servers that the environment names; one line per finding, with a hint."""
    from voicefleet.doctor.command import doctor as run_it

    raise typer.Exit(run_it(json_path=json_path))
