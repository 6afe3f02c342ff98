"""`voicefleet transports`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicefleet.runtime.command.files import place_for_result
from voicefleet.runtime.command.options import JsonOption


def transports(
    arms: Annotated[str, typer.Option(help="Arms to run, a,b; all when left out. See --list.")] = "",
    rtt: Annotated[str | None, typer.Option(help="Round trips in ms, a,b; 100.")] = None,
    loss: Annotated[
        str | None, typer.Option(help="Shares lost each way, a,b; 0,0.01,0.02,0.05, or 0,0.05 with --quick.")
    ] = None,
    jitter: Annotated[str | None, typer.Option(help="Milliseconds, in addition; 10,30, or 30 with --quick.")] = None,
    rate: Annotated[
        str | None, typer.Option(help="Kilobits per second, in addition; 48,80, or 80 with --quick.")
    ] = None,
    reorder: Annotated[str | None, typer.Option(help="Shares of packets that overtake, in addition; 0.1.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs of each cell; 5, or 1 with --quick.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Seconds of speech in each run; 20, or 6 with --quick.")] = None,
    quick: Annotated[bool, typer.Option(help="A few minutes, with wide intervals.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write a page of HTML.", callback=place_for_result)] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Save the picture of delay over time (.png).", callback=place_for_result)
    ] = None,
    backend: Annotated[str, typer.Option(help="Emulator: netem (the kernel), tun (ours), or auto.")] = "auto",
    logs: Annotated[Path | None, typer.Option(help="Keep every run's files in this folder.")] = None,
    list_them: Annotated[bool, typer.Option("--list", help="List the arms and run none.")] = False,
    json_path: JsonOption = None,
) -> None:
    """Send the same speech over HTTP, WebSocket, TCP, UDP and WebRTC on emulated networks, and compare (needs root)."""
    from voicefleet.transports.command import list_arms
    from voicefleet.transports.command import transports as run_it
    from voicefleet.transports.options import options_from

    if list_them:
        list_arms()
        return
    options = options_from(
        arms=arms,
        rtt=rtt,
        loss=loss,
        jitter=jitter,
        rate=rate,
        reorder=reorder,
        seeds=seeds,
        seconds=seconds,
        quick=quick,
        backend=backend,
        logs=logs,
    )
    raise typer.Exit(run_it(options, json_path=json_path, report=report, figure=figure))
