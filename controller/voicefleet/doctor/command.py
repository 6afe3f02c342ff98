"""`voicefleet doctor`: prints one line per finding, with a hint."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

from rich.console import Console
from rich.text import Text

from voicefleet.doctor.machine import check_machine
from voicefleet.doctor.servers import check_servers
from voicefleet.doctor.settings import Surroundings, surroundings
from voicefleet.reporting.result import write_json
from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.command.finding import Finding, Verdict, exit_code

_STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILURE: "bold red"}
_MARK_WIDTH = max(len(verdict) for verdict in Verdict)


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
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        console.print(_line(finding, width))
    write_json(json_path, [dataclasses.asdict(f) for f in findings])
    return exit_code(findings)


def _line(finding: Finding, width: int) -> Text:
    """One line, however long, so that it can be searched; `Text`, since what was found may look like markup."""
    line = Text(f"{finding.verdict.value:<{_MARK_WIDTH}}", style=_STYLES[finding.verdict])
    line.append(f"  {finding.subject:<{width}}  {finding.found}", style="default")
    if finding.hint:
        line.append(f"  -> {finding.hint}", style="dim")
    return line
