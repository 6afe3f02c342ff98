"""Dispatch requests: ask LiveKit for an agent, with what is known of the call."""

from __future__ import annotations

import contextlib
import dataclasses

from voicefleet.contract.calls import CallRecord, DispatchMetadata
from voicefleet.contract.dials import OUTBOUND
from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.tracing import child_of, emit, parse_traceparent


async def dispatch_agent(region: Region, room: str, attempt: int) -> None:
    """Ask LiveKit for an agent in `room`, with the tier and metadata that the call came with.

    Raises `UnknownStateError`.
    """
    record = (await region.calls.records([room])).get(room)
    orders = () if record is not None else await orders_in(region, room)
    await send_dispatch(region, room, dispatch_metadata(record, orders, attempt))


async def orders_in(region: Region, room: str) -> tuple[str, ...]:
    """What ordered our agent for `room`, as metadata of dispatches, the oldest first: the dispatches that are there,
    else the room's metadata. Empty: nobody did. Raises `UnknownStateError`."""
    if orders := await region.livekit.dispatch_metadata(room):
        return orders
    order = await region.livekit.room_order(room)
    return () if order is None else (DispatchMetadata(order).encode(),)


async def language_of(region: Region, room: str) -> str:
    """The language that the call in `room` was ordered with; empty: it named none, or that cannot be known now."""
    with contextlib.suppress(UnknownStateError):
        if (record := (await region.calls.records([room])).get(room)) is not None:
            return record.order.language
    with contextlib.suppress(UnknownStateError):
        return redispatch_metadata(await orders_in(region, room), 0).order.language
    return ""


def dispatch_metadata(record: CallRecord | None, orders: tuple[str, ...], attempt: int) -> DispatchMetadata:
    """The metadata of a dispatch: from the call's record or, without one, from the dispatches in the room."""
    if record is None:
        # It came with a token of the front end's own, or Redis lost it: LiveKit still knows the first order.
        return redispatch_metadata(orders, attempt)
    return DispatchMetadata(record.order, attempt, {OUTBOUND: 1} if record.outbound else {}, caller=record.caller)


async def send_dispatch(region: Region, room: str, metadata: DispatchMetadata) -> None:
    """Ask LiveKit for an agent in `room`. Raises `UnknownStateError`."""
    began_s = region.clock.wall().timestamp()
    await region.livekit.create_dispatch(room, metadata.encode())
    parent = parse_traceparent(metadata.order.traceparent)
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
    """What the last of `orders` that is no repetition of ours said, as attempt number `attempt`."""
    said = [DispatchMetadata.decode(order) for order in orders] or [DispatchMetadata()]
    last = next((order for order in reversed(said) if not order.attempt), said[0])
    return dataclasses.replace(last, attempt=attempt)
