"""`voicefleet calls` and `voicefleet call show`: the calls there are, and one call as a timeline."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from voicefleet.contract.api import CallView
from voicefleet.contract.call_events import CallState, CallSummary
from voicefleet.contract.dial_api import DialView
from voicefleet.contract.errors import ConfigError
from voicefleet.reporting.result import write_json
from voicefleet.runtime.command.asking import ask
from voicefleet.runtime.command.settings import controller_access
from voicefleet.runtime.http.api_client import ControllerClient

_BAD = frozenset({"recovered", "lost", "expired", "silence", "apology", "provider_failure", "fallback"})
"""What a caller may have noticed."""


def calls(controller: str | None, *, region: str | None, json_path: Path | None, console: Console | None = None) -> int:
    """Print the calls there are, the oldest first.

    Returns:
        0; 1 when one of them waits for an agent.

    Raises:
        UsageError: the controller does not answer, or refuses.
    """
    console = console or Console()
    access = controller_access(controller)
    found = [v for v in asyncio.run(_list(access.url, access.key)) if region in (None, v.region)]
    write_json(json_path, {"calls": [view.model_dump(mode="json") for view in found]})
    console.print(listed(found))
    return 1 if any(view.state == "waiting" for view in found) else 0


def show(
    room: str, controller: str | None, *, region: str | None, json_path: Path | None, console: Console | None = None
) -> int:
    """Print one call, its agents, turns and what else happened, in order.

    Raises:
        UsageError: no such call, or the controller does not answer or refuses.
    """
    console = console or Console()
    access = controller_access(controller)
    found = asyncio.run(_one(access.url, access.key, room, region))
    if found is None:
        raise ConfigError(
            "no such call, or not of this key",
            field="ROOM",
            value=room,
            hint="`voicefleet calls` lists those that there are; one that ended is forgotten after an hour.",
        )
    write_json(json_path, found.model_dump(mode="json"))
    console.print(picture(found))
    return 0


async def _list(url: str, key: str) -> list[CallView]:
    async with ControllerClient(url, key=key) as client:
        return await ask(url, client.calls())


async def _one(url: str, key: str, room: str, region: str | None) -> CallSummary | None:
    async with ControllerClient(url, key=key) as client:
        return await ask(url, client.call(room, region))


def listed(found: Sequence[CallView]) -> RenderableType:
    """A table of calls, for 80 columns."""
    if not found:
        return Text("No calls.")
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column("room", overflow="fold")
    table.add_column("region", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("since", justify="right", no_wrap=True)
    table.add_column("worker", overflow="fold")
    table.add_column("epoch", justify="right", no_wrap=True)
    for view in found:
        state = Text(view.state, style="bold red" if view.state == "waiting" else "")
        epoch = str(view.epoch) if view.epoch else ""
        since_s = view.since_s if view.waiting_s is None else view.waiting_s
        table.add_row(Text(view.room), view.region, state, f"{since_s:.0f} s", Text(view.worker), epoch)
    return table


def picture(call: CallSummary) -> RenderableType:
    """A head of some lines, and the timeline."""
    timeline = Table(box=None, show_header=False, padding=(0, 2, 0, 0), show_edge=False)
    timeline.add_column(justify="right", no_wrap=True)
    timeline.add_column(no_wrap=True)
    timeline.add_column(overflow="fold")
    for entry in call.timeline:
        style = "red" if entry.what in _BAD else ""
        timeline.add_row(f"{entry.at_s:.1f} s", Text(entry.what, style=style), Text(entry.detail))
    return Group(*(Text(line) for line in _head(call)), "", timeline)


def _dial(dial: DialView) -> str:
    why = " ".join(filter(None, (str(dial.sip_status_code or ""), dial.sip_status, dial.detail)))
    return f"dial {dial.state}, attempt {dial.attempt} of {dial.attempts}" + (f": {why}" if why else "")


def _head(call: CallSummary) -> list[str]:
    state = f"{call.state.value} ({call.reason})" if call.reason else call.state.value
    dial = [_dial(call.dial)] if call.dial is not None else []
    if call.started_at is None:
        return [f"{call.room} in {call.region}: {state}", *dial]
    lasts = "lasted" if call.state is CallState.ENDED else "lasts"
    waited = "no agent yet" if call.waited_s is None else f"first agent after {call.waited_s:.1f} s"
    with_ = ", ".join(text for text in (call.tier and f"tier {call.tier}", call.language) if text)
    ttfa = [turn.ttfa_s for turn in call.turns if turn.ttfa_s is not None]
    turns = f"{len(call.turns)} turns"
    if ttfa:
        turns += f", TTFA p50 {median(ttfa):.2f} s, longest {max(ttfa):.2f} s"
    return [
        f"{call.room} in {call.region}: {state}",
        *dial,
        f"started {call.started_at}, {lasts} {call.duration_s:.1f} s, {waited}",
        *([with_] if with_ else []),
        f"{len(call.agents)} agents, {turns}, {call.interruptions} interruptions",
    ]
