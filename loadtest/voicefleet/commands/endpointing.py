"""`voicefleet endpointing`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicefleet.runtime.command.options import JsonOption


def endpointing(
    detectors: Annotated[str, typer.Option(help="Of vad, v1-mini and smart-turn, a,b; all when left out.")] = "",
    recordings: Annotated[
        Path | None, typer.Option(help="A folder of your callers' turns (WAV, mono, 16 bit, 16 kHz), in place of ours.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the lengths of our callers' pauses.")] = 1,
    json_path: JsonOption = None,
) -> None:
    """How often each turn detector cuts callers off, and how long it makes them wait, beside the published figures."""
    from voicefleet.endpointing.command import endpointing as run_it

    raise typer.Exit(run_it(detectors, recordings=recordings, seed=seed, json_path=json_path))
