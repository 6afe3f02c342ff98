"""Dispatch requests: ask LiveKit for an agent, with what is known of the call."""

from __future__ import annotations

import dataclasses

from voicefleet.contract.calls import CallRecord, DispatchMetadata
from voicefleet.contract.spans import TraceContext
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.tracing import child_of, emit


async def dispatch_agent(region: Region, room: str, attempt: int) -> None:
    """Ask LiveKit for an agent in `room`, with the tier and metadata that the call came with.

    Raises `UnknownStateError`.
    """
    record = (await region.calls.records([room])).get(room)
    orders = () if record is not None else await region.livekit.dispatch_metadata(room)
    await send_dispatch(region, room, dispatch_metadata(record, orders, attempt))


def dispatch_metadata(record: CallRecord | None, orders: tuple[str, ...], attempt: int) -> DispatchMetadata:
    """The metadata of a dispatch: from the call's record or, without one, from the dispatches in the room."""
    if record is None:
        # It came with a token of the front end's own, or Redis lost it: LiveKit still knows the first order.
        return redispatch_metadata(orders, attempt)
    return DispatchMetadata(tier=record.tier, metadata=record.metadata, attempt=attempt, traceparent=record.traceparent)


async def send_dispatch(region: Region, room: str, metadata: DispatchMetadata) -> None:
    """Ask LiveKit for an agent in `room`. Raises `UnknownStateError`."""
    began_s = region.clock.wall().timestamp()
    await region.livekit.create_dispatch(room, metadata.encode())
    parent = TraceContext.parse(metadata.traceparent)
    if region.tracer.on and parent is not None:
        # The job's span is a child of the order already: this one tells how long LiveKit took to accept the dispatch.
        emit(
            region.tracer,
            "dispatch",
            child_of(parent),
            began_s,
            region.clock.wall().timestamp(),
            parent=parent,
            kind="producer",
            attributes={"voicefleet.region": region.name, "voicefleet.dispatch.attempt": metadata.attempt},
        )


def redispatch_metadata(orders: tuple[str, ...], attempt: int) -> DispatchMetadata:
    """What the first of `orders` said, as attempt number `attempt`."""
    first = DispatchMetadata.decode(orders[0]) if orders else DispatchMetadata()
    return dataclasses.replace(first, attempt=attempt)
