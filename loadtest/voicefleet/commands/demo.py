"""`voicefleet demo`: its options."""

from __future__ import annotations

from typing import Annotated

import typer

from voicefleet.runtime.command.options import JsonOption


def demo(
    calls: Annotated[int, typer.Option(help="Calls to place.")] = 12,
    rate: Annotated[
        float, typer.Option(help="Mean arrivals per second; the first seven come 2.5 times as fast.")
    ] = 0.3,
    turns: Annotated[int, typer.Option(help="Questions per call.")] = 2,
    slots: Annotated[int, typer.Option(help="Calls a worker serves at once.")] = 2,
    pipeline: Annotated[str | None, typer.Option(help="local or synthetic; local if this machine can run it.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same calls.")] = 1,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write demo-report.html.")] = True,
    keep: Annotated[bool, typer.Option(help="Leave the fleet running afterwards and print its addresses.")] = False,
    json_path: JsonOption = None,
) -> None:
    """Run a whole fleet on this machine: two regions, autoscaled workers, callers with real speech, and a verdict."""
    from voicefleet.demo.command import demo as run_it
    from voicefleet.demo.options import DemoOptions, as_pipeline

    options = DemoOptions(calls, rate, turns, slots, as_pipeline(pipeline), seed, report, keep)
    raise typer.Exit(run_it(options, json_path=json_path))
