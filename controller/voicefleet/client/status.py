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

from voicefleet.client.findings import STYLES, finding_lines, style_of
from voicefleet.client.pools import add_total, canaries_table
from voicefleet.contract.api import CallView, CanaryView, DecisionView, HistoryPoint, IncidentView, RegionView
from voicefleet.contract.errors import ConfigError, UnknownStateError, UnreachableError
from voicefleet.contract.health import HealthState, worst
from voicefleet.reporting.result import write_json
from voicefleet.reporting.table import figures_table, shown
from voicefleet.runtime.clock import Clock, SystemClock
from voicefleet.runtime.command.asking import ask
from voicefleet.runtime.command.settings import CONTROLLER_KEY, ControllerAccess, controller_access
from voicefleet.runtime.http.api_client import ControllerClient

_DECISIONS = 5
_INCIDENTS = 5
_LEGEND = "workers: ready/wanted; refused: callers in the last 5 minutes; TTFA: p50/p95, s"
_NAMED = 5


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
    incidents: Sequence[IncidentView] = ()
    """The last ones, the newest first."""
    canaries: Sequence[CanaryView] = ()

    @property
    def state(self) -> HealthState:
        """That of the worst region."""
        return worst(view.status for view in self.regions)

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` writes."""
        return {
            "regions": [{**view.model_dump(mode="json"), **_ttfa(self.last.get(view.region))} for view in self.regions],
            "calls": None if self.calls is None else [view.model_dump(mode="json") for view in self.calls],
            "decisions": [view.model_dump(mode="json") for view in self.decisions],
            "canaries": [view.model_dump(mode="json") for view in self.canaries],
            "incidents": [view.model_dump(mode="json") for view in self.incidents],
        }


def status(options: StatusOptions, *, json_path: Path | None, console: Console | None = None) -> int:
    """Show it once, or until Ctrl-C. Without a key only the worst region's state is shown, where the controller asks
    for one.

    Returns:
        0 when every region is ok at the last look, else 1.

    Raises:
        UsageError: the controller does not answer, or refuses the key.
    """
    console = console or Console()
    access = controller_access(options.controller)
    try:
        seen = asyncio.run(_show(access, options, console, SystemClock()))
    except UnreachableError as error:
        if access.key or error.field != CONTROLLER_KEY:
            raise
        return _public(access, console, json_path)
    write_json(json_path, seen.to_json())
    return 0 if seen.state is HealthState.OK else 1


def _public(access: ControllerAccess, console: Console, json_path: Path | None) -> int:
    """What anybody may know."""

    async def read() -> HealthState:
        async with ControllerClient(access.url) as client:
            return await ask(access.url, client.health())

    state = asyncio.run(read())
    console.print(Text(f"The fleet is {state.value}.", style=STYLES[state]))
    console.print(f"The controller shows more to a key that may read: set {CONTROLLER_KEY} (it answered 401).")
    write_json(json_path, {"status": state.value})
    return 0 if state is HealthState.OK else 1


async def look(client: ControllerClient) -> Seen:
    """The fleet now. Raises `UnknownStateError`."""
    regions, decisions, history, incidents, canaries = await asyncio.gather(
        client.regions(),
        client.decisions(limit=_DECISIONS),
        client.history(),
        client.incidents(limit=_INCIDENTS),
        client.canaries(),
    )
    try:
        calls: list[CallView] | None = await client.calls()
    except UnknownStateError:
        calls = None
    last = {name: points[-1] for name, points in history.items() if points}
    return Seen(regions, calls, decisions, last, incidents, canaries)


async def _show(access: ControllerAccess, options: StatusOptions, console: Console, clock: Clock) -> Seen:
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
    """What is wrong and what to do about it, tables of regions and workers, the waiting calls, the last incidents and
    decisions; for 80 columns."""
    parts: list[RenderableType] = [
        _regions(seen),
        Text(_LEGEND, style="dim"),
        *(line for view in seen.regions for line in finding_lines(view)),
        "",
        _workers(seen.regions),
    ]
    if seen.canaries:
        parts += ["", canaries_table(seen.canaries)]
    parts += [Text(line) for view in seen.regions if (line := _on_the_way(view))]
    if costs := costs_of(seen.regions):
        parts.append(Text(costs))
    waiting = [call for call in seen.calls or () if call.state == "waiting"]
    if seen.calls is None:
        parts.append(Text("The calls are not known now.", style="bold red"))
    if waiting:
        named = ", ".join(f"{call.room} ({_waited_s(call):.0f} s)" for call in waiting[:_NAMED])
        more = f" and {len(waiting) - _NAMED} more" if len(waiting) > _NAMED else ""
        parts.append(Text(f"Waiting: {named}{more}", style="bold red"))
    if aside := [call for call in seen.calls or () if call.state in ("released", "neighbour")]:
        named = ", ".join(f"{call.room} ({call.reason or call.state})" for call in aside[:_NAMED])
        more = f" and {len(aside) - _NAMED} more" if len(aside) > _NAMED else ""
        parts.append(Text(f"No agent wanted: {named}{more}"))
    if seen.incidents:
        parts += ["", _incidents(seen.incidents)]
    if seen.decisions:
        parts += ["", _decisions(seen.decisions)]
    return Group(*parts)


def _regions(seen: Seen) -> Table:
    table = figures_table(
        "Regions", "region", ("state", "workers", "slots", "live", "waiting", "silent", "refused", "TTFA")
    )
    # A long name is folded; figures and their headers never are.
    for column in table.columns:
        column.no_wrap = column is not table.columns[0]
    of_several = {view.place for view in seen.regions if view.place and view.place != view.region}
    shown_already: set[str] = set()
    for view in seen.regions:
        if view.place in of_several - shown_already:
            shown_already.add(view.place)
            add_total(table, [pool for pool in seen.regions if pool.place == view.place])
        last = seen.last.get(view.region)
        style = style_of(view.status)
        table.add_row(
            Text(view.region, style=style),
            Text(view.status, style=style),
            f"{shown(view.ready)}/{shown(view.desired_workers)}",
            shown(view.slots),
            shown(view.live),
            Text(shown(view.waiting), style="bold red" if view.waiting else ""),
            Text(shown(view.silent), style="bold red" if view.silent else ""),
            Text(shown(view.refused), style="bold red" if view.refused else ""),
            f"{shown(last.ttfa_p50_s if last else None)}/{shown(last.ttfa_p95_s if last else None)}",
        )
    return table


def _on_the_way(view: RegionView) -> str:
    """Workers that start or leave, and calls that change their worker; empty when there are none."""
    counts = (("starting", view.starting), ("draining", view.draining), ("calls on their way to another", view.moving))
    told = ", ".join(f"{count} {what}" for what, count in counts if count)
    return f"{view.region}: {told}" if told else ""


def costs_of(regions: Sequence[RegionView]) -> str:
    """What the workers that run now cost, in words; empty where no price is given. A region that is unknown now is
    named, and in no sum."""
    priced = [view for view in regions if view.cost_per_hour is not None]
    if not priced:
        return ""
    sums: dict[str, float] = {}
    for view in priced:
        sums[view.currency] = sums.get(view.currency, 0.0) + (view.cost_per_hour or 0.0)
    each = ", ".join(f"{view.region} {view.cost_per_hour:.2f} {view.currency}" for view in priced)
    told = " + ".join(f"{total:.2f} {currency}" for currency, total in sorted(sums.items()))
    return f"Cost of the running workers: {told} an hour" + (f" ({each})" if len(priced) > 1 else "")


def _waited_s(call: CallView) -> float:
    # A controller of an older release tells only how old the call is.
    return call.since_s if call.waiting_s is None else call.waiting_s


def _workers(regions: Sequence[RegionView]) -> Table:
    table = _table("Workers", "region", "worker", "state")
    for name in ("calls", "slots", "age"):
        table.add_column(name, justify="right", no_wrap=True)
    for view in regions:
        for worker in view.workers:
            age = "–" if worker.age_s is None else f"{worker.age_s:.0f} s"
            calls = worker.live if worker.calls is None else worker.calls
            table.add_row(view.region, worker.id, worker.state, str(calls), str(worker.slots), age)
        if view.more_workers:
            table.add_row(view.region, f"and {view.more_workers} more")
    return table


def _incidents(incidents: Sequence[IncidentView]) -> Table:
    table = _table("Last incidents (UTC)", "at", "region")
    table.add_column("what", overflow="fold")
    for view in incidents:
        at = f"{view.at[5:10]} {view.at[11:19]}"
        table.add_row(at, view.region, Text(view.text, style=style_of(view.state)))
    return table


def _decisions(decisions: Sequence[DecisionView]) -> Table:
    table = _table("Last decisions (UTC)", "at", "region", "workers", "reason")
    table.add_column("detail", overflow="fold")  # the one column that takes several lines
    for view in decisions:
        table.add_row(view.at[11:19], view.region, shown(view.desired), view.reason, view.detail)
    return table


def _table(title: str, *headers: str) -> Table:
    """A table of words: none is cut, and a long one is folded."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for header in headers:
        table.add_column(header, overflow="fold", min_width=min(len(header), 8))
    return table


def _ttfa(point: HistoryPoint | None) -> dict[str, float | None]:
    return {
        "ttfa_p50_s": point.ttfa_p50_s if point else None,
        "ttfa_p95_s": point.ttfa_p95_s if point else None,
    }
