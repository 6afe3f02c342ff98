"""`voicefleet demo`: options in, verdict, files and exit code out."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console

from voicefleet.callers.verdict import counts_line, errors_of, shortcomings, waits_table
from voicefleet.contract.errors import ConfigError, MissingPartError
from voicefleet.demo.options import DemoOptions
from voicefleet.demo.report import render_report
from voicefleet.demo.result import PIPELINE_NOTES
from voicefleet.demo.run import DemoRun, run_demo
from voicefleet.local.available import local_pipeline_missing
from voicefleet.reporting.result import INTERRUPTED, exit_code, require_writable, write_json
from voicefleet.reporting.table import print_problems
from voicefleet.stack.fleet import Fleet
from voicefleet.stack.interrupt import finished

REPORT = Path("demo-report.html")


def demo(options: DemoOptions, *, json_path: Path | None, console: Console | None = None) -> int:
    """Run the demo to its end.

    Returns:
        0 when every caller heard an answer to every turn and no call was cut, else 1; 130 after Ctrl-C.
    """
    console = console or Console()
    if options.report:
        _require_place_for(REPORT)
    pipeline = _choose_pipeline(options, console)
    keep = (lambda fleet: _print_addresses(fleet, console)) if options.keep else None
    done: list[DemoRun] = []
    asyncio.run(finished(run_demo(options, pipeline, console, keep=keep, done=done.append)))
    if not done:
        console.print("Interrupted; every process of the demo has ended.")
        return INTERRUPTED
    (run,) = done
    write_json(json_path, run.result)
    if options.report:
        REPORT.write_text(render_report(run), encoding="utf-8")
    problems = shortcomings(run.result, errors_of(run.outcomes))
    show(run, problems, console)
    return exit_code(passed=not problems)


def _require_place_for(report: Path) -> None:
    try:
        require_writable(report, str(report))
    except ConfigError as error:
        raise ConfigError(
            "the report cannot be written there",
            field=error.field,
            value=str(report.absolute().parent),
            hint="Start the demo in a directory of yours, or use --no-report.",
        ) from error


def _choose_pipeline(options: DemoOptions, console: Console) -> str:
    missing = local_pipeline_missing()
    if options.pipeline == "local" and missing:
        raise MissingPartError(
            f"this machine does not carry it: {' '.join(missing)}",
            field="--pipeline",
            value="local",
            hint="Install what is missing, or use --pipeline synthetic.",
        )
    if options.pipeline is None and missing:
        console.print("The real offline pipeline cannot run here, so the synthetic one does:")
        for sentence in missing:
            console.print(f"  - {sentence}")
    return options.pipeline or ("synthetic" if missing else "local")


def _print_addresses(fleet: Fleet, console: Console) -> None:
    console.print("\nThe fleet stays up; Ctrl-C ends it.")
    console.print(f"  controller  {fleet.api_url}   (POST /v1/calls, GET /v1/regions, /v1/decisions, /metrics)")
    for region, server in fleet.livekit.items():
        console.print(f"  LiveKit {region}  {server.url}")
    console.print(f"  logs        {fleet.log_dir}")
    console.print(f"  place a call: voicefleet call --controller {fleet.api_url}\n")


def show(run: DemoRun, problems: list[str], console: Console) -> None:
    """Print what a run came to."""
    r = run.result
    title = f"voicefleet demo, pipeline {run.pipeline}{PIPELINE_NOTES.get(run.pipeline, '')}"
    console.print(waits_table(r, title))
    console.print(f"{counts_line(r)}; {r['wall_s']} s")
    for region, w in r["regions"].items():
        console.print(f"{region}: {w['workers_start']} -> {w['workers_peak']} -> {w['workers_end']} workers")
    print_problems(console, problems)
    if run.options.report:
        console.print(f"report: {REPORT}")
