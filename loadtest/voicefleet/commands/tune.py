"""`voicefleet tune`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicefleet.runtime.command.options import JsonOption


def tune(
    space: Annotated[
        str, typer.Option(help="What may be chosen: a YAML file of axes and options, local or turns.")
    ] = "local",
    tasks: Annotated[
        str, typer.Option(help="Calls with a goal: a task file, a folder with a tasks.yaml, or desk.")
    ] = "desk",
    agent: Annotated[str, typer.Option(help="Your agent, as `worker --agent` takes it; else the tasks' own.")] = "",
    budget: Annotated[str, typer.Option(help="How long the whole sweep may take: 10m, 1h.")] = "50m",
    rule: Annotated[
        str, typer.Option(help="What is chosen, fixed before the sweep; left out: highest success, p95 of 0.8 s.")
    ] = "",
    calls: Annotated[int, typer.Option(help="Calls at the same time, all of one setting.")] = 4,
    price: Annotated[float, typer.Option(help="Price of a worker-hour.")] = 0.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same callers.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the log, tiers.yaml, the page and the recordings.")] = Path(
        "tune"
    ),
    fresh: Annotated[bool, typer.Option(help="Begin anew, whatever the folder's log holds.")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html into the folder.")] = True,
    json_path: JsonOption = None,
) -> None:
    """Find the sweet spot of speed and success by measurement, and write it as a tiers file."""
    from voicefleet.tuning.command import tune as run_it
    from voicefleet.tuning.options import TuneOptions, parse_length
    from voicefleet.tuning.rule import DEFAULT_RULE, parse_rule

    options = TuneOptions(
        out=out,
        space=space,
        tasks=tasks,
        agent=agent,
        budget_s=parse_length(budget, name="budget"),
        at_once=calls,
        rule=parse_rule(rule or DEFAULT_RULE),
        price=price,
        seed=seed,
        fresh=fresh,
        report=report,
    )
    raise typer.Exit(run_it(options, json_path=json_path))
