"""Rooms that a team makes itself: before its caller comes, or to dial a number once an agent is there."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import AsyncIterator

import aiohttp
from livekit import api, rtc

from voicefleet.chaos.fault_context import REGION, FaultContext, FaultError
from voicefleet.contract.api import CallTicket

AGENT_NAME = "voicefleet"
DROPPED_S = 1.0
"""LiveKit offers a dispatch after 0.2 s, or drops it."""
AGENT_LIMIT_S = 40.0
"""A worker is started for it, on a machine that is busy with everything else."""
ALONE_S = 6.0
"""So long a room of others is watched: an agent that comes there comes within a listing."""


async def pre_created(context: FaultContext) -> None:
    """Rooms are made before their callers come, so LiveKit ignores what the callers' tokens order."""
    ordered, asked, others = (f"made-{secrets.token_hex(6)}" for _ in range(3))
    order = json.dumps({"voicefleet": {"agent": AGENT_NAME}})
    async with _livekit(context) as lk, _guest() as guest:
        for room, metadata in ((ordered, order), (asked, ""), (others, "")):
            await lk.room.create_room(api.CreateRoomRequest(name=room, metadata=metadata))
        context.mark_injection()
        for room in (ordered, asked):
            context.callers.join(_ticket(context, room))
        await guest.connect(context.livekit.url, _ticket(context, others).token)
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{context.fleet.api_url}/v1/rooms/{asked}/agent", json={}) as answer,
        ):
            if answer.status != 202:
                raise FaultError(f"the controller answered a request for an agent with {answer.status}")
        await context.sleep(ALONE_S)
        if await _agents(lk, others):
            raise FaultError("an agent came into a room for which nobody ordered one")


async def full_outbound(context: FaultContext) -> None:
    """An agent is dispatched into an empty room, to dial a number, while every slot has a call: LiveKit drops it."""
    room = f"outbound-{secrets.token_hex(6)}"
    async with _livekit(context) as lk:
        context.mark_injection()
        await lk.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest(agent_name=AGENT_NAME, room=room))
        await context.sleep(DROPPED_S)
        if await _agents(lk, room):
            raise FaultError("a slot was free: LiveKit had no reason to drop the dispatch")

        async def there() -> bool:
            return bool(await _agents(lk, room))

        if await context.until(there, AGENT_LIMIT_S) is None:
            raise FaultError(f"no agent came for the outbound call within {AGENT_LIMIT_S:g} s")
        context.callers.join(_ticket(context, room))  # who was called answers
        await context.sleep(1.0)
        if await _agents(lk, room) != 1:
            raise FaultError("not one agent is in the room of the outbound call")


@contextlib.asynccontextmanager
async def _livekit(context: FaultContext) -> AsyncIterator[api.LiveKitAPI]:
    server = context.livekit
    async with api.LiveKitAPI(server.http_url, server.api_key, server.api_secret) as lk:
        yield lk


@contextlib.asynccontextmanager
async def _guest() -> AsyncIterator[rtc.Room]:
    room = rtc.Room()
    try:
        yield room
    finally:
        await room.disconnect()


async def _agents(lk: api.LiveKitAPI, room: str) -> int:
    there = await lk.room.list_participants(api.ListParticipantsRequest(room=room))
    return sum(p.kind == api.ParticipantInfo.Kind.AGENT for p in there.participants)


def _ticket(context: FaultContext, room: str) -> CallTicket:
    """A caller of `room` with a token of the team's own."""
    server, identity = context.livekit, f"caller-{context.rng.integers(10**8):08d}"
    token = (
        api.AccessToken(server.api_key, server.api_secret)
        .with_identity(identity)
        .with_grants(api.VideoGrants(room_join=True, room=room))
        .with_room_config(api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name=AGENT_NAME)]))
    )
    return CallTicket(url=server.url, token=token.to_jwt(), room=room, region=REGION, identity=identity)
