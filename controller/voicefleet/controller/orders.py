"""Ordering an agent for a call of which less may be known than its caller said."""

from __future__ import annotations

import dataclasses

from voicefleet.contract.calls import DispatchMetadata
from voicefleet.controller.region import Region


async def order_agent(region: Region, room: str, attempt: int) -> None:
    """Ask LiveKit for an agent in `room`, with the tier and metadata that the call came with.

    Raises `UnknownStateError`.
    """
    record = (await region.calls.records([room])).get(room)
    if record is not None:
        metadata = DispatchMetadata(tier=record.tier, metadata=record.metadata, attempt=attempt)
    else:
        # It came with a token of the front end's own, or Redis lost it: LiveKit still knows the first order.
        metadata = again(await region.livekit.orders(room), attempt)
    await region.livekit.create_dispatch(room, metadata.encode())


def again(orders: tuple[str, ...], attempt: int) -> DispatchMetadata:
    """What the first of `orders` said, as attempt number `attempt`."""
    first = DispatchMetadata.decode(orders[0]) if orders else DispatchMetadata()
    return dataclasses.replace(first, attempt=attempt)
