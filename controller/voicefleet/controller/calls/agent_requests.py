"""Somebody asks for an agent in a room that is there: the one way to order one for a room of the team's own.

What is asked becomes a dispatch in LiveKit, so that it stays known to every replica as long as the room lives, and is
what serves the room again when LiveKit drops it or the agent dies. Asking while an agent has the call changes nothing.
"""

from __future__ import annotations

import dataclasses

from voicefleet.contract.calls import ORDER_FIELDS, CallOrder, DispatchMetadata
from voicefleet.controller.calls.dispatch_requests import send_dispatch
from voicefleet.controller.regions.region import Region

REQUESTED = "requested"


async def request_agent(region: Region, room: str, order: CallOrder) -> str:
    """Order an agent for `room`.

    Args:
        order: what is not empty in it takes the place of what the call was ordered with.

    Returns:
        `requested`, or the state of the claim of the agent that has the call: `accepted` or `live`.

    Raises:
        UnknownStateError: it may be ordered or not; to ask again does no harm.
    """
    if claim := await region.calls.claim(room):
        return str(claim.state)
    # A released call, before anything is dispatched: a worker would refuse it.
    await region.calls.want_agent(room)
    there = await region.livekit.list_participants(room)
    record = (await region.calls.records([room])).get(room)
    if record is not None:
        changed = {name: text for name in ORDER_FIELDS if (text := getattr(order, name))}
        record = dataclasses.replace(record, order=dataclasses.replace(record.order, **changed))
        await region.calls.save_record(record)
        order = record.order
    await send_dispatch(region, room, DispatchMetadata(order, caller=record.caller if record is not None else ""))
    if any(p.caller for p in there):
        await region.calls.caller_joined(room)
    else:
        await region.calls.expect([(room, 0)])
    region.wake.set()
    return REQUESTED
