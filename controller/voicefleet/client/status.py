"""`voicefleet status`: the fleet in the terminal, once or kept up to date."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from voicefleet.contract.api import CallView, DecisionView, HistoryPoint, RegionView
from voicefleet.contract.errors import ConfigError, UnknownStateError
from voicefleet.reporting.result import write_json
from voicefleet.reporting.table import figures_table, shown
from voicefleet.runtime.clock import Clock, SystemClock
from voicefleet.runtime.command.asking import ask
from voicefleet.runtime.command.settings import controller_access
from voicefleet.runtime.http.api_client import ControllerClient

_DECISIONS = 5
_WAITING_NAMED = 5


@dataclass(frozen=True, slots=True)
class StatusOptions:
    """What to show.

    Attributes:
        controller: ``http://HOST:PORT``; None: the environment's.
        watch: keep the picture up to date until Ctrl-C.
        every_s: seconds between looks.
    """

    controller: str | None = None
    watch: bool = False
    every_s: float = 1.0

    def __post_init__(self) -> None:
        if not 0.2 <= self.every_s <= 60:
            raise ConfigError("out of range", field="--every", value=self.every_s, hint="Give 0.2 to 60 seconds.")


@dataclass(frozen=True, slots=True)
class Seen:
    """The fleet at one moment. `calls` is None while a region's calls are not known."""

    regions: Sequence[RegionView]
    calls: Sequence[CallView] | None
    decisions: Sequence[DecisionView]
    last: Mapping[str, HistoryPoint]
    """The last point of each region's history."""

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` writes."""
        return {
            "regions": [{**view.model_dump(mode="json"), **_ttfa(self.last.get(view.region))} for view in self.regions],
            "calls": None if self.calls is None else [view.model_dump(mode="json") for view in self.calls],
            "decisions": [view.model_dump(mode="json") for view in self.decisions],
        }


def status(options: StatusOptions, *, json_path: Path | None, console: Console | None = None) -> int:
    """Show it once, or until Ctrl-C.

    Returns:
        0; 1 when a region is unknown, or callers wait or sit in silence at the last look.

    Raises:
        UsageError: the controller does not answer.
    """
    console = console or Console()
    seen = asyncio.run(_show(options, console, SystemClock()))
    write_json(json_path, seen.to_json())
    return 1 if any(view.status != "ok" or view.waiting or view.silent for view in seen.regions) else 0


async def look(client: ControllerClient) -> Seen:
    """The fleet now. Raises `UnknownStateError`."""
    regions, decisions, history = await asyncio.gather(
        client.regions(), client.decisions(limit=_DECISIONS), client.history()
    )
    try:
        calls: list[CallView] | None = await client.calls()
    except UnknownStateError:
        calls = None
    return Seen(regions, calls, decisions, {name: points[-1] for name, points in history.items() if points})


async def _show(options: StatusOptions, console: Console, clock: Clock) -> Seen:
    access = controller_access(options.controller)
    async with ControllerClient(access.url, key=access.key) as client:
        seen = await ask(access.url, look(client))
        if not options.watch:
            console.print(picture(seen))
            return seen
        with Live(picture(seen), console=console, auto_refresh=False, screen=console.is_terminal) as live:
            try:
                while True:
                    await clock.sleep(options.every_s)
                    try:
                        seen = await look(client)
                    except UnknownStateError as error:
                        live.update(Group(Text(str(error), style="bold red"), picture(seen)), refresh=True)
                    else:
                        live.update(picture(seen), refresh=True)
            except asyncio.CancelledError:
                return seen  # Ctrl-C: what was seen last is the result


def picture(seen: Seen) -> RenderableType:
    """Tables of regions, workers and the last decisions, and the waiting calls; for 80 columns."""
    parts: list[RenderableType] = [_regions(seen)]
    for view in seen.regions:
        if view.status != "ok":
            parts.append(Text(f"{view.region} is {view.status}: {view.reason}", style="bold red"))
    parts += ["", _workers(seen.regions)]
    waiting = [call for call in seen.calls or () if call.state == "waiting"]
    if seen.calls is None:
        parts.append(Text("The calls are not known now.", style="bold red"))
    if waiting:
        named = ", ".join(f"{call.room} ({call.since_s:.0f} s)" for call in waiting[:_WAITING_NAMED])
        parts.append(Text(f"Waiting: {named}", style="bold red"))
    if aside := [call for call in seen.calls or () if call.state in ("released", "neighbour")]:
        named = ", ".join(f"{call.room} ({call.reason or call.state})" for call in aside[:_WAITING_NAMED])
        more = f" and {len(aside) - _WAITING_NAMED} more" if len(aside) > _WAITING_NAMED else ""
        parts.append(Text(f"No agent wanted: {named}{more}"))
    if seen.decisions:
        parts += ["", _decisions(seen.decisions)]
    return Group(*parts)


def _regions(seen: Seen) -> Table:
    counts = ("wanted", "ready", "starting", "draining", "slots", "live", "waiting", "silent")
    table = figures_table("Regions (TTFA in seconds)", "region", (*counts, "TTFA p50", "TTFA p95"))
    # A long name is folded; figures and their headers never are.
    for column in table.columns:
        column.no_wrap = column is not table.columns[0]
    for view in seen.regions:
        last = seen.last.get(view.region)
        table.add_row(
            Text(view.region, style="" if view.status == "ok" else "bold red"),
            shown(view.desired_workers),
            shown(view.ready),
            shown(view.starting),
            shown(view.draining),
            shown(view.slots),
            shown(view.live),
            Text(shown(view.waiting), style="bold red" if view.waiting else ""),
            Text(shown(view.silent), style="bold red" if view.silent else ""),
            shown(last.ttfa_p50_s if last else None),
            shown(last.ttfa_p95_s if last else None),
        )
    return table


def _workers(regions: Sequence[RegionView]) -> Table:
    table = _table("Workers", "region", "worker", "state")
    for name in ("calls", "slots", "age"):
        table.add_column(name, justify="right", no_wrap=True)
    for view in regions:
        for worker in view.workers:
            age = "–" if worker.age_s is None else f"{worker.age_s:.0f} s"
            table.add_row(view.region, worker.id, worker.state, str(worker.live), str(worker.slots), age)
        if view.more_workers:
            table.add_row(view.region, f"and {view.more_workers} more")
    return table


def _decisions(decisions: Sequence[DecisionView]) -> Table:
    table = _table("Last decisions", "at", "region", "workers", "reason")
    table.add_column("detail", overflow="fold")  # the one column that takes several lines
    for view in decisions:
        table.add_row(view.at[11:19], view.region, shown(view.desired), view.reason, view.detail)
    return table


def _table(title: str, *headers: str) -> Table:
    """A table of words: none is cut, and a long one is folded."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def _ttfa(point: HistoryPoint | None) -> dict[str, float | None]:
    return {
        "ttfa_p50_s": point.ttfa_p50_s if point else None,
        "ttfa_p95_s": point.ttfa_p95_s if point else None,
    }
