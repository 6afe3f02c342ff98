"""Agents of the team's own workers, under the fleet's agent name: a call that one of them serves is served."""

from __future__ import annotations

from collections.abc import Iterable

from voicefleet.controller.ports import Participant
from voicefleet.controller.regions.region import Region


async def look_for_neighbours(region: Region, room: str, room_sid: str) -> None:
    """A neighbour came or went. Raises `UnknownStateError`."""
    await note_neighbours(region, room, room_sid, await region.livekit.list_participants(room), marked=True)
    region.note_change()


async def note_neighbours(
    region: Region, room: str, room_sid: str, there: Iterable[Participant], *, marked: bool
) -> None:
    """Keep in the books whether a neighbour serves the call in `room`. Raises `UnknownStateError`.

    Args:
        there: who is in it.
        marked: the books say that one does, or may say so.
    """
    if any(p.neighbour for p in there):
        await region.calls.neighbour_here(room, room_sid)
    elif marked:
        await region.calls.neighbour_gone(room)
