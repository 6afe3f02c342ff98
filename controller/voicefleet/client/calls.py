"""`voicefleet calls`, `calls past` and `call show`: the calls there are, those that ended, and one as a timeline."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from voicefleet.contract.api import CallView
from voicefleet.contract.call_events import CallState, CallSummary
from voicefleet.contract.call_silences import LEAST_S
from voicefleet.contract.dial_api import DialView
from voicefleet.contract.errors import ConfigError
from voicefleet.reporting.result import write_json
from voicefleet.runtime.clock import Clock, SystemClock
from voicefleet.runtime.command.asking import ask
from voicefleet.runtime.command.settings import controller_access
from voicefleet.runtime.command.times import moment
from voicefleet.runtime.http.api_client import ControllerClient, PastCalls

_BAD = frozenset({"waiting", "recovered", "lost", "expired", "silence", "apology", "provider_failure", "fallback"})
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
            hint="`voicefleet calls` lists those that there are, `voicefleet calls past` those that have ended.",
        )
    write_json(json_path, found.model_dump(mode="json"))
    console.print(picture(found))
    return 0


def past(
    controller: str | None,
    *,
    begin: str,
    end: str,
    region: str | None,
    room: str | None,
    silent: bool,
    json_path: Path | None,
    clock: Clock | None = None,
    console: Console | None = None,
) -> int:
    """Print the calls that have ended and started between two moments (see `command.times`), the first one first.

    Args:
        silent: those alone in which the caller heard nobody for 3 s or more.

    Raises:
        UsageError: not a time, or the controller does not answer or refuses.
    """
    console = console or Console()
    access = controller_access(controller)
    now = (clock or SystemClock()).wall()
    from_, to = moment(begin, now, field="--from"), moment(end, now, field="--to")
    options = {"from": from_.isoformat(), "to": to.isoformat()}
    options |= {"region": region} if region else {}
    options |= {"room": room} if room else {}
    options |= {"dead_air_s": str(LEAST_S)} if silent else {}
    found = asyncio.run(_past(access.url, access.key, options))
    write_json(json_path, {"calls": [view.model_dump(mode="json") for view in found.calls], "oldest": found.oldest})
    console.print(listed_past(found, from_))
    return 0


async def _past(url: str, key: str, options: dict[str, str]) -> PastCalls:
    async with ControllerClient(url, key=key) as client:
        return await ask(url, client.past_calls(**options))


def listed_past(found: PastCalls, from_: datetime) -> RenderableType:
    """A table of calls that have ended, for 80 columns, and whether it can be all of them."""
    oldest = datetime.fromisoformat(found.oldest) if found.oldest else None
    forgotten = [] if oldest is None or oldest <= from_ else [Text(f"The oldest call that is kept: {found.oldest}.")]
    if not found.calls:
        return Group(Text("No such calls."), *forgotten)
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column("started, UTC", no_wrap=True)
    table.add_column("room", overflow="fold")
    for name in ("lasted", "waited", "turns", "silent"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("ended", overflow="fold")
    for call in found.calls:
        silent = Text(f"{call.dead_air_s:.0f} s" if call.dead_air_s else "", style="red")
        waited = "–" if call.waited_s is None else f"{call.waited_s:.1f} s"
        started = call.started_at[:19].replace("T", " ")
        row = started, Text(call.room), f"{call.duration_s:.0f} s", waited, str(call.turns), silent, Text(call.reason)
        table.add_row(*row)
    return Group(table, *forgotten)


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
    """A head of some lines, the silences with their reasons, and the timeline. Times of day are UTC."""
    timeline = Table(box=None, show_header=False, padding=(0, 2, 0, 0), show_edge=False)
    timeline.add_column(no_wrap=True)
    timeline.add_column(justify="right", no_wrap=True)
    timeline.add_column(no_wrap=True)
    timeline.add_column(overflow="fold")
    for entry in call.timeline:
        what = Text(_WORDS.get(entry.what, entry.what.replace("_", " ")), style="red" if entry.what in _BAD else "")
        timeline.add_row(_at(call, entry.at_s), f"+{entry.at_s:.1f} s", what, Text(entry.detail))
    return Group(*(Text(line) for line in _head(call)), "", *_dead_air(call), "", timeline)


_WORDS = {"caller": "caller joined", "no_caller": "caller left", "left": "agent left", "lost": "agent lost"}


def _at(call: CallSummary, at_s: float) -> str:
    """The time of day, UTC."""
    if call.started_at is None:
        return ""
    at = datetime.fromisoformat(call.started_at) + timedelta(seconds=at_s)
    return at.strftime("%H:%M:%S.") + str(at.microsecond // 100_000)


def _dead_air(call: CallSummary) -> list[RenderableType]:
    """When the caller heard nobody, and why."""
    if not call.dead_air:
        return [Text(f"No silence of {LEAST_S:.0f} s or more.")] if call.started_at else []
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for silence in call.dead_air:
        lasts = f"{silence.lasted_s:.1f} s" + (" so far" if silence.until_s is None else "")
        table.add_row(_at(call, silence.from_s), Text(lasts, style="bold red"), Text(silence.why))
        if silence.hint:
            table.add_row("", "", Text(silence.hint, style="dim"))
    return [Text("The caller heard nobody (UTC):"), table]


def _caller_left(call: CallSummary) -> bool:
    came_and_went = [entry.what for entry in call.timeline if entry.what in ("caller", "no_caller")]
    return came_and_went[-1:] == ["no_caller"]


def _counted(number: int, name: str) -> str:
    many = f"{name.removesuffix('y')}ies" if name.endswith("y") else f"{name}s"
    return f"{number} {name if number == 1 else many}"


def _dial(dial: DialView) -> str:
    why = " ".join(filter(None, (str(dial.sip_status_code or ""), dial.sip_status, dial.detail)))
    return f"dial {dial.state}, attempt {dial.attempt} of {dial.attempts}" + (f": {why}" if why else "")


def _head(call: CallSummary) -> list[str]:
    state = f"{call.state.value} ({call.reason})" if call.reason else call.state.value
    if call.state is CallState.WAITING and _caller_left(call):
        state = "its caller left, over in some seconds"
    dial = [_dial(call.dial)] if call.dial is not None else []
    placed = [f"placed there: {call.placement}"] if call.placement else []
    if call.started_at is None:
        return [f"{call.room} in {call.region}: {state}", *placed, *dial]
    lasts = "lasted" if call.state is CallState.ENDED else "lasts"
    waited = "no agent yet" if call.waited_s is None else f"first agent after {call.waited_s:.1f} s"
    named = (call.tier and f"tier {call.tier}", call.language, call.key and f"key {call.key}")
    with_ = ", ".join(text for text in named if text)
    ttfa = [turn.ttfa_s for turn in call.turns if turn.ttfa_s is not None]
    workers = list(dict.fromkeys(part.worker for part in call.agents if part.worker))
    served_by = f" ({', '.join(workers)})" if workers else ""
    turns = _counted(len(call.turns), "turn")
    if unanswered := sum(turn.outcome == "error" for turn in call.turns):
        turns += f" ({unanswered} without an answer)"
    if ttfa:
        turns += f", TTFA p50 {median(ttfa):.2f} s, longest {max(ttfa):.2f} s"
    return [
        f"{call.room} in {call.region}: {state}",
        *placed,
        f"call {call.call}, trace {call.trace_id or 'not known'}",
        *dial,
        f"started {call.started_at}, {lasts} {call.duration_s:.1f} s, {waited}",
        *([with_] if with_ else []),
        f"{_counted(len(call.agents), 'agent')}{served_by}, {turns}",
        ", ".join(
            _counted(number, name)
            for number, name in ((call.interruptions, "interruption"), (call.apologies, "apology"))
        ),
    ]
