"""`voicefleet doctor`: one line per finding, with the way out."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from voicefleet.doctor.finding import Finding, Verdict, exit_code
from voicefleet.doctor.machine import check_machine
from voicefleet.doctor.servers import check_servers
from voicefleet.doctor.settings import Surroundings, surroundings
from voicefleet.runtime.clock import SystemClock

_MARKS = {Verdict.OK: "[green]ok[/]", Verdict.WARNING: "[yellow]warning[/]", Verdict.FAILURE: "[bold red]failure[/]"}


async def examine(around: Surroundings) -> list[Finding]:
    """All findings, machine first."""
    findings = list(await asyncio.to_thread(lambda: list(check_machine())))
    async for finding in check_servers(around, SystemClock()):
        findings.append(finding)
    return findings


def doctor(*, json_path: Path | None, console: Console | None = None) -> int:
    """Examine, print, and return 1 when something that voicefleet needs does not work."""
    console = console or Console(soft_wrap=True)
    findings = asyncio.run(examine(surroundings()))
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        way_out = f"  [dim]-> {finding.way_out}[/]" if finding.way_out else ""
        table.add_row(_MARKS[finding.verdict], finding.subject, f"{finding.found}{way_out}")
    console.print(table)
    if json_path is not None:
        json_path.write_text(json.dumps([dataclasses.asdict(f) for f in findings], indent=2) + "\n")
    return exit_code(findings)
