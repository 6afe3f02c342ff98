"""Which waiting calls to speak to now. Pure: the time is an argument, in milliseconds of the clock of the calls.

Invariants: nobody is spoken to while a job holds the call; who waits is spoken to `after_ms` after the wait began, and
again every `every_ms` after that, whoever of two sources of calls is asked in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voicefleet.contract.claims import ClaimState
from voicefleet.controller.calls.snapshots import Call

FORGOTTEN_MS = 20_000
"""A call that nobody showed us for this long is over. Not at once: what we are shown may be a part."""

NEW_CALL_MS = 2_000
"""A caller who joined this much later is another call in a room of the same name; less is a difference of clocks."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What is remembered of one call."""

    joined_ms: int
    since_ms: int | None
    """When the caller began to wait; None while an agent serves it."""
    seen_ms: int
    not_before_ms: int = 0
    """Not spoken to before this."""


def follow(known: Mapping[str, Wait], calls: Sequence[Call], now_ms: int) -> dict[str, Wait]:
    """What is known of each room's call, with `calls` as they are now."""
    waits = {room: wait for room, wait in known.items() if now_ms - wait.seen_ms < FORGOTTEN_MS}
    for call in calls:
        waits[call.room] = _follow(known.get(call.room), call, now_ms)
    return waits


def begun_anew(known: Mapping[str, Wait], waits: Mapping[str, Wait]) -> list[str]:
    """Rooms of `known` in which another call has begun since: what was said to the last one does not count."""
    return [room for room, wait in waits.items() if (was := known.get(room)) is not None and _another(was, wait)]


def due(calls: Sequence[Call], waits: Mapping[str, Wait], now_ms: int, *, after_ms: int) -> list[str]:
    """Rooms of `calls` to speak to now, the longest waiting first."""
    waiting = (call for call in calls if call.claim is None and call.aside is None)
    since = {
        call.room: wait.since_ms
        for call in waiting
        if (wait := waits[call.room]).since_ms is not None and now_ms >= wait.not_before_ms
    }
    ripe = [(since_ms, room) for room, since_ms in since.items() if now_ms - since_ms >= after_ms]
    return [room for _, room in sorted(ripe)]


def _follow(was: Wait | None, call: Call, now_ms: int) -> Wait:
    # A call that wants no agent waits for none.
    live = call.aside is not None or (call.claim is not None and call.claim.state == ClaimState.LIVE)
    new = Wait(call.joined_ms, _first_wait(call, now_ms), now_ms)
    if was is None or _another(was, new):
        return Wait(call.joined_ms, None, now_ms) if live else new
    since_ms = was.since_ms
    if live:
        since_ms = None
    elif since_ms is None:
        # It had an agent. A claim that was only accepted ends no wait: nobody has spoken yet.
        since_ms = now_ms
    return Wait(was.joined_ms, since_ms, now_ms, was.not_before_ms)


def _first_wait(call: Call, now_ms: int) -> int:
    """When a call that we see for the first time began to wait. Below zero it had an agent: nobody knows until when."""
    return now_ms if call.rank is not None and call.rank < 0 else call.joined_ms


def _another(was: Wait, now: Wait) -> bool:
    return now.joined_ms - was.joined_ms > NEW_CALL_MS
