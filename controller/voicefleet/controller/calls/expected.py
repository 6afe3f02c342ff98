"""Calls whose caller is still to come: a room in which nobody is yet, and for which our agent was ordered.

An outbound flow dispatches first and dials then. LiveKit drops such a dispatch when no worker is free, and nobody
would ever notice: no caller waits. Such a room is a waiting call like any other, as long as nobody took the dispatch
and no caller has been there since: an agent is never sent where the caller just left.
"""

from __future__ import annotations

from collections.abc import Iterable

from voicefleet.contract.calls import DispatchMetadata
from voicefleet.contract.dials import DialState
from voicefleet.controller.ports import Participant
from voicefleet.controller.regions.region import Region


async def expected_since(region: Region, room: str, there: Iterable[Participant], *, visited_ms: int = 0) -> int | None:
    """Since when an agent is wanted in `room`, in which no caller is; milliseconds of LiveKit's clock. None: it is not.

    Args:
        visited_ms: when a caller was last seen there, as far as that is known: what was ordered before is over.

    Raises `UnknownStateError`.
    """
    if any(p.serves or p.neighbour for p in there):
        return None
    if (dial := await region.dials.get(room)) is not None:
        # We call somebody there. While it rings, the agent must come back if it dies.
        return dial.since_ms if dial.admitted and DialState(dial.state).pending else None
    dispatches = await region.livekit.dispatches(room)
    wanted = [d for d in dispatches if _wants_agent_first(DispatchMetadata.decode(d.metadata))]
    if not wanted:
        return None
    since_ms = wanted[-1].created_ms
    if visited_ms >= since_ms:
        return None
    if any(d.assigned for d in dispatches if d.created_ms >= since_ms):
        return None
    if await region.calls.left_ms(room) >= since_ms or await region.calls.records([room]):
        return None
    return since_ms


def _wants_agent_first(sent: DispatchMetadata) -> bool:
    """Those that we made again tell nothing of what the team wants; one for a certain caller is a ticket's, whose room
    is there because the caller came."""
    return not sent.attempt and not sent.caller


async def still_expected(region: Region, room: str, there: Iterable[Participant]) -> bool:
    """Whether `room`, in the queue and without a caller, is one whose caller is still to come."""
    if room not in await region.calls.expected():
        return False
    return await expected_since(region, room, there) is not None
