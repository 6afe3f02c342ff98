"""`GET /v1/past-calls`: calls that have ended, by when they started, a page at a time; kept for days.

A page looks at a bounded number of calls. Where a filter leaves few of them it is short, and `next` goes on: whoever
follows it until it is null sees each call that is kept once.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from aiohttp import web

from voicefleet.contract.answers import MOST_PAST_CALLS_A_PAGE, PAST_CALLS_A_PAGE, PastCallPage
from voicefleet.contract.api import PastCallView
from voicefleet.contract.call_archive import PackedCall, Place
from voicefleet.contract.call_events import iso_time
from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.http.auth.access import key_of, seen, wrong_region
from voicefleet.controller.http.problems import problem
from voicefleet.controller.http.reads import json_answer, number
from voicefleet.controller.regions.region import Region

_FOR_EVER_MS = 2**52


class Asked(NamedTuple):
    """What is asked for. Times are Unix time."""

    from_ms: int
    until_ms: int
    room: str
    dead_air_s: float

    def wants(self, call: PackedCall) -> bool:
        """Whether the filters leave this one."""
        return self.room in ("", call.room) and call.dead_air_s >= self.dead_air_s


class PastCalls:
    """The route."""

    def __init__(self, regions: Mapping[str, Region]) -> None:
        self._regions = regions

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/v1/past-calls", self.list_all)

    async def list_all(self, request: web.Request) -> web.Response:
        """200 with a page. 400 for options that are none; 503 while a region's calls are not known."""
        key, only = key_of(request), request.query.get("region")
        if only is not None and (refused := wrong_region(key, only, self._regions)):
            return refused
        limit = number(request, "limit", PAST_CALLS_A_PAGE, MOST_PAST_CALLS_A_PAGE)
        if isinstance(limit, web.Response):
            return limit
        asked = _asked(request)
        if isinstance(asked, web.Response):
            return asked
        pools = seen(self._regions, key, only)
        places = {name: Place(asked.from_ms - 1, "\U0010ffff") for name in pools}
        if (text := request.query.get("cursor")) is not None:
            try:
                given = _decode(text)
            except ValueError:
                return problem(400, "not a cursor of ours", field="cursor", hint="Give `next` of the page before.")
            places = {name: given[name] for name in pools if name in given}
        try:
            return json_answer(await _page(pools, places, asked, limit))
        except UnknownStateError:
            return problem(503, "the state is not reachable now", hint="Ask again.", retry_after_s=2)


async def _page(pools: Mapping[str, Region], places: Mapping[str, Place], asked: Asked, limit: int) -> PastCallPage:
    """The first `limit` calls behind `places` of all regions together; a region without a place has no more."""
    rows: list[tuple[Place, str, PackedCall]] = []
    ends: dict[str, Place | None] = {}
    for name, place in places.items():
        found, ends[name] = await pools[name].calls.archive.page(place, asked.until_ms, limit)
        rows += [(Place(call.opened_ms, call.call), name, call) for call in found]
    first = heapq.nsmallest(limit, rows, key=lambda row: (row[0], row[1]))
    following: dict[str, Place] = {}
    for name, place in places.items():
        taken = [at for at, region, _ in first if region == name]
        rest = len(taken) < sum(region == name for _, region, _ in rows)
        if rest:
            following[name] = taken[-1] if taken else place
        elif (end := ends[name]) is not None:
            following[name] = end
    oldest = [ms for region in pools.values() if (ms := await region.calls.archive.oldest_ms()) is not None]
    return PastCallPage(
        calls=[_view(region, call) for _, region, call in first if asked.wants(call)],
        next=_encode(following) if following else None,
        oldest=iso_time(min(oldest)) if oldest else None,
    )


def _view(region: str, call: PackedCall) -> PastCallView:
    return PastCallView(
        call=call.call,
        room=call.room,
        region=region,
        started_at=iso_time(call.opened_ms),
        duration_s=max(0.0, round((call.ended_ms - call.opened_ms) / 1000, 3)),
        waited_s=None if call.waited_s < 0 else call.waited_s,
        reason=call.reason,
        tier=call.tier,
        key=call.key,
        trace_id=call.trace,
        turns=call.turns,
        apologies=call.apologies,
        dead_air_s=call.dead_air_s,
        why=call.why,
    )


def _asked(request: web.Request) -> Asked | web.Response:
    """The options of a request; or the answer 400."""
    times = {"from": 0, "to": _FOR_EVER_MS}
    for name in times:
        if (text := request.query.get(name)) is not None:
            try:
                at = datetime.fromisoformat(text)
                at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
                times[name] = round(at.timestamp() * 1000)
            except (ValueError, OverflowError):
                return problem(400, "not a time", field=name, hint="Give ISO 8601, such as 2026-11-28T02:13:00Z.")
    try:
        dead_air_s = float(request.query.get("dead_air_s", "0"))
    except ValueError:
        dead_air_s = math.nan
    if not 0 <= dead_air_s <= 86_400:
        return problem(400, "not a number of seconds", field="dead_air_s", hint="Give 0 to 86400.")
    return Asked(times["from"], times["to"], request.query.get("room", ""), dead_air_s)


def _encode(places: Mapping[str, Place]) -> str:
    text = json.dumps({name: [place.opened_ms, place.call] for name, place in places.items()}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(text: str) -> dict[str, Place]:
    """Raises ValueError: not a text that `_encode` made."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        given = json.loads(base64.b64decode(padded, b"-_", validate=True))
        places = {str(name): Place(at, call) for name, (at, call) in given.items()}
    except (binascii.Error, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("not a cursor") from error
    if any(type(place.opened_ms) is not int or type(place.call) is not str for place in places.values()):
        raise ValueError("not a cursor")
    return places
