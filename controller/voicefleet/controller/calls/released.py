"""Released calls: whether the team asked for an agent again, by a dispatch that no worker got.

A dispatch that a worker takes ends a release by itself. LiveKit drops one that finds no free worker, and would leave a
caller in silence for whom an agent was asked.
"""

from __future__ import annotations

from voicefleet.contract.aside import Aside, Why
from voicefleet.contract.calls import DispatchMetadata
from voicefleet.controller.regions.region import Region

CLOCK_SLACK_MS = 2_000
"""LiveKit's clock may differ from Redis's: the dispatch that the released agent came by must not count."""


async def asked_again(region: Region, room: str, aside: Aside) -> bool:
    """Whether a dispatch of the team's own was made for the call in `room` after it was released.

    Raises `UnknownStateError`.
    """
    if aside.why != Why.RELEASED:
        return False
    after_ms = aside.at_ms + CLOCK_SLACK_MS
    made = await region.livekit.dispatches(room)
    return any(d.created_ms > after_ms and not DispatchMetadata.decode(d.metadata).attempt for d in made)
