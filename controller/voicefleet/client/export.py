"""`voicefleet export calls`: the calls of a region as a trace for `voicefleet simulate` and `plan`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console

from voicefleet.contract.api import PastCallView
from voicefleet.contract.call_events import EndReason
from voicefleet.contract.errors import ConfigError
from voicefleet.runtime.clock import Clock, SystemClock
from voicefleet.runtime.command.asking import ask
from voicefleet.runtime.command.settings import controller_access
from voicefleet.runtime.command.times import moment
from voicefleet.runtime.http.api_client import ControllerClient, PastCalls

_NEVER_THERE = frozenset({EndReason.NO_CALLER, EndReason.REFUSED})
"""Ends of what took no slot."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A trace and what is missing in it. `open`: calls that had not ended, and are left out."""

    region: str
    begin: datetime
    end: datetime
    past: PastCalls
    open: int


def export_calls(
    controller: str | None,
    *,
    begin: str,
    end: str,
    region: str | None,
    output: Path | None,
    clock: Clock | None = None,
) -> int:
    """Write the calls that started between two moments (see `command.times`) to `output`, or to standard output.

    Raises:
        UsageError: not a time, no such calls, several regions and none named, or the controller does not answer.
    """
    access, now = controller_access(controller), (clock or SystemClock()).wall()
    from_, to = moment(begin, now, field="--from"), moment(end, now, field="--to")
    found = asyncio.run(_read(access.url, access.key, from_, to, region))
    rows = arrivals(found.past.calls, from_)
    if not rows:
        raise ConfigError(
            "no call of this region ended that started in that time",
            field="--from",
            value=begin,
            hint=f"The oldest one that is kept started at {found.past.oldest or '(none is kept)'}.",
        )
    text = "\n".join(trace_lines(found, rows)) + "\n"
    if output is None:
        print(text, end="")
    else:
        output.write_text(text, encoding="utf-8")
    notes = Console(stderr=True, highlight=False, soft_wrap=True)
    notes.print(f"{len(rows)} calls of {found.region} from {from_:%Y-%m-%d %H:%M} to {to:%Y-%m-%d %H:%M} UTC")
    for note in missing(found):
        notes.print(note)
    return 0


async def _read(url: str, key: str, begin: datetime, end: datetime, region: str | None) -> Exported:
    async with ControllerClient(url, key=key) as client:
        views = await ask(url, client.regions())
        regions = sorted({view.place or view.region for view in views})
        if region is None and len(regions) > 1:
            raise ConfigError(
                "the fleet has several regions, and a trace is of one",
                field="--region",
                hint=f"Name one of {', '.join(regions)}.",
            )
        name = region or regions[0]
        options = {"from": begin.isoformat(), "to": end.isoformat(), "region": name}
        past = await ask(url, client.past_calls(**options))
        pools = {view.region for view in views if name in (view.region, view.place)}
        live = sum(call.region in pools for call in await ask(url, client.calls()))
    return Exported(name, begin, end, past, live)


def arrivals(calls: Sequence[PastCallView], begin: datetime) -> list[tuple[float, float]]:
    """Seconds from `begin` to each call's start, and how long it lasted; only of calls that were there for a caller."""
    rows = [
        ((datetime.fromisoformat(call.started_at) - begin).total_seconds(), call.duration_s)
        for call in calls
        if call.reason not in _NEVER_THERE and call.duration_s > 0
    ]
    return sorted((round(max(0.0, arrival_s), 3), duration_s) for arrival_s, duration_s in rows)


def trace_lines(found: Exported, rows: Sequence[tuple[float, float]]) -> Iterator[str]:
    """The file: where it comes from, the header, a call a line."""
    span = f"arrival_s 0 is {found.begin.isoformat()}, the end {found.end.isoformat()}"
    yield f"# calls of the region {found.region}; {span}"
    yield from (f"# {note}" for note in missing(found))
    yield "arrival_s,duration_s"
    for arrival_s, duration_s in rows:
        yield f"{arrival_s:.3f},{duration_s:.3f}"


def missing(found: Exported) -> list[str]:
    """What a reader must know is not in it."""
    notes = []
    oldest = datetime.fromisoformat(found.past.oldest) if found.past.oldest else None
    if oldest is not None and oldest > found.begin:
        notes.append(f"calls before {found.past.oldest} are not in it: they are not kept any more, or there were none")
    if found.open:
        notes.append(f"{found.open} calls that had not ended are not in it")
    return notes
