"""`GET /v1/calls`, a page at a time: what one page costs does not grow with the calls there are.

A cursor names the last call of a page by the time it was joined, its region and its room. That is an order of all calls
in which each keeps its place: whoever follows the pages sees every call that lives through them exactly once.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import itertools
import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from voicefleet.contract.answers import CallPage
from voicefleet.contract.api import CallView
from voicefleet.controller.calls.snapshots import Call, Snapshot


class Cursor(NamedTuple):
    """The last call of a page."""

    joined_ms: int
    region: str
    room: str

    def encode(self) -> str:
        """Text for a URL; what is in it is nobody's business but ours."""
        return base64.urlsafe_b64encode(json.dumps(self, separators=(",", ":")).encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Raises ValueError: not a text that `encode` made."""
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            joined_ms, region, room = json.loads(base64.b64decode(padded, b"-_", validate=True))
        except (binascii.Error, ValueError, TypeError, RecursionError) as error:
            raise ValueError("not a cursor") from error
        if type(joined_ms) is not int or type(region) is not str or type(room) is not str:
            raise ValueError("not a cursor")
        return cls(joined_ms, region, room)


def page(snapshots: Mapping[str, Snapshot], limit: int, after: Cursor | None) -> CallPage:
    """The `limit` oldest calls of all regions after the cursor.

    Args:
        snapshots: of each region asked for; its calls are in the order they were joined.
    """
    merged = heapq.merge(*(_following(name, snapshot.calls, after) for name, snapshot in snapshots.items()))
    found = list(itertools.islice(((key, call) for key, _, call in merged), limit + 1))
    views = [_view(key.region, snapshots[key.region], call) for key, call in found[:limit]]
    return CallPage(calls=views, next=found[limit - 1][0].encode() if len(found) > limit else None)


def _following(region: str, calls: tuple[Call, ...], after: Cursor | None) -> Iterator[tuple[Cursor, int, Call]]:
    start = 0
    if after is not None:
        # Calls of one millisecond are in the order of their regions, then of their rooms.
        if region == after.region:
            start = bisect_right(calls, (after.joined_ms, after.room), key=lambda c: (c.joined_ms, c.room))
        elif region < after.region:
            start = bisect_right(calls, after.joined_ms, key=lambda c: c.joined_ms)
        else:
            start = bisect_left(calls, after.joined_ms, key=lambda c: c.joined_ms)
    for number in range(start, len(calls)):
        call = calls[number]
        # The number keeps two calls from being compared.
        yield Cursor(call.joined_ms, region, call.room), number, call


def _view(region: str, snapshot: Snapshot, call: Call) -> CallView:
    return CallView(
        room=call.room,
        region=region,
        state=call.state,
        reason=call.aside.reason if call.aside else "",
        since_s=_since(snapshot, call.joined_ms),
        waiting_s=_since(snapshot, call.wants_since_ms) if call.state == "waiting" else None,
        worker=call.claim.worker if call.claim else "",
        epoch=call.claim.epoch if call.claim else 0,
    )


def _since(snapshot: Snapshot, at_ms: int) -> float:
    return max(0.0, round((snapshot.now_ms - at_ms) / 1000, 3))
