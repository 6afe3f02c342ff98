"""`voicefleet transports`: options in; table, JSON, page and exit code out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from voicefleet.contract.errors import MissingPartError
from voicefleet.netlab.lab import choose_backend
from voicefleet.netlab.readings import Backend
from voicefleet.reporting.result import write_json
from voicefleet.reporting.table import shown
from voicefleet.runtime.clock import SystemClock
from voicefleet.stack.interrupt import until_done_or_interrupted
from voicefleet.stack.machine import machine
from voicefleet.transports.analysis import quality
from voicefleet.transports.arms import ARMS
from voicefleet.transports.cells import cells
from voicefleet.transports.options import LabOptions
from voicefleet.transports.report.result import build
from voicefleet.transports.report.rows import NotRun
from voicefleet.transports.run import Results, lacking, run_all, versions
from voicefleet.transports.trial import Trial

_PACKAGES = ("voicefleet", "livekit", "aiohttp", "httpx", "h2", "hypercorn", "pesq")


def transports(
    options: LabOptions,
    *,
    json_path: Path | None,
    report: Path | None,
    figure: Path | None = None,
    console: Console | None = None,
) -> int:
    """Run the lab to its end.

    Returns:
        0 when every arm was run; 1 when one was not, or the machine was too busy for it; 130 after Ctrl-C, with what
        was done by then written and shown.

    Raises:
        ConfigError: there is no such backend.
    """
    console = console or Console()
    if options.logs is not None:
        options.logs.mkdir(parents=True, exist_ok=True)
    clock = SystemClock()
    began_s = clock.monotonic()
    results = Results()
    backend: Backend | None = None
    complete = True
    try:
        backend = choose_backend(options.backend)
    except MissingPartError as error:
        console.print(f"voicefleet: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        results.not_run += [NotRun(cell, str(error)) for cell in cells(options)]
    else:
        chosen = backend
        complete = asyncio.run(
            until_done_or_interrupted(
                lambda _, say: run_all(options, chosen, say, results), console, "speech over emulated networks"
            )
        )
    with console.status("comparing what was heard with what was said"):
        result = build(
            results,
            backend,
            quality.score,
            {
                "complete": complete,
                "wall_s": round(clock.monotonic() - began_s, 1),
                "machine": machine(),
                "versions": versions(_PACKAGES),
            },
        )
    _tell(result, results.trials, json_path, report, console)
    if figure is not None:
        from voicefleet.transports.report.page import save_figure

        if not save_figure(results.trials, figure):
            console.print(f"{figure} not written: no valid run of the arms it shows", markup=False)
    if not complete:
        console.print("Interrupted; every process has ended and every namespace is gone.")
        return 130
    return 0 if result["passed"] else 1


def list_arms(console: Console | None = None) -> None:
    """Print the arms, and what this machine lacks for each."""
    made = Table(title="voicefleet transports: the arms")
    for title in ("arm", "what it is", "missing here"):
        made.add_column(title)
    for arm in ARMS:
        made.add_row(arm.id, arm.title, lacking(arm) or "")
    (console or Console()).print(made)


def _tell(
    result: Mapping[str, Any], trials: Sequence[Trial], json_path: Path | None, report: Path | None, console: Console
) -> None:
    write_json(json_path, result)
    if report is not None:
        from voicefleet.transports.report.page import render

        report.write_text(render(result, trials))
    # Where it is not a terminal, rich takes it for one of 80 columns.
    wide = console if console.is_terminal else Console(file=console.file, width=150)
    wide.print(table(result))
    for made in result["model"]:
        console.print(
            f"head-of-line blocking, BBR, loss {made['loss']:.0%}: {made['late_predicted']:.1%} of frames late by the "
            f"model, {made['late_observed']:.1%} seen",
            highlight=False,
        )
    emulator = result["emulator"]
    console.print(
        f"emulator: {emulator['backend'] or 'none'}, error p99 {shown(emulator['error_p99_ms'], ' ms')}; "
        f"{emulator['void_runs']} of {emulator['runs']} runs void; {result['wall_s']} s",
        highlight=False,
    )


_COLUMNS = (
    ("delay_p50_ms", "p50", "{:.0f}"),
    ("delay_p95_ms", "p95", "{:.0f}"),
    ("delay_p99_ms", "p99", "{:.0f}"),
    ("late_ratio", "late", "{:.1%}"),
    ("lost_ratio", "lost", "{:.1%}"),
    ("concealed_ratio", "concealed", "{:.1%}"),
    ("stalls", "stalls", "{:.1f}"),
    ("bytes_per_s", "bytes/s", "{:.0f}"),
    ("connect_ms", "connect", "{:.0f}"),
    ("pesq", "PESQ", "{:.2f}"),
    ("mos", "MOS", "{:.2f}"),
)


def table(result: Mapping[str, Any]) -> Table:
    """Every row's figures."""
    made = Table(title="voicefleet transports (delays mouth to ear, ms; stalls a minute)", box=SIMPLE_HEAD)
    for title in ("arm", "network"):
        made.add_column(title, no_wrap=True)
    for _, title, _ in _COLUMNS:
        made.add_column(title, justify="right")
    for row in result["rows"]:
        if "not_run" in row or row["void"]:
            why = "not run" if "not_run" in row else "void"
            made.add_row(row["arm"], network(row), f"[bold red]{why}", *[""] * (len(_COLUMNS) - 1))
            continue
        values = [form.format(row[name]) if row[name] is not None else "–" for name, _, form in _COLUMNS]
        made.add_row(row["arm"], network(row), *values)
    return made


def network(row: Mapping[str, Any]) -> str:
    """The conditions of a row, short."""
    words = [f"{row['rtt_ms']:g} ms", f"{row['loss']:.0%}"]
    if row["jitter_ms"]:
        words.append(f"±{row['jitter_ms']:g} ms")
    if row["reorder"]:
        words.append(f"reordering {row['reorder']:.0%}")
    if row["rate_kbps"] is not None:
        words.append(f"{row['rate_kbps']:g} kbit/s")
    return " ".join(words)
