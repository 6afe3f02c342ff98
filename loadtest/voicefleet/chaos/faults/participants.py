"""Who else is in a room: agents that left on purpose, observers, callers of another kind, agents of the team's own."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

from livekit import api, rtc

from voicefleet.callers.settings import LiveKitKeys
from voicefleet.callers.tickets import own_ticket
from voicefleet.chaos import bare_worker
from voicefleet.chaos.breakable_agent import break_agent
from voicefleet.chaos.fault_context import REGION, FaultContext, FaultError
from voicefleet.chaos.faults.processes import SETTLE_S
from voicefleet.contract.api import CallRequest, CallTicket, WorkerView
from voicefleet.contract.callers import ROLE_ATTRIBUTE, Role
from voicefleet.runtime.supervisor.children import Child, running

AGENT_NAME = "voicefleet"
AGENT_LIMIT_S = 15.0
ALONE_S = 12.0
"""Far longer than it takes to send an agent: 1 s of grace, a dispatch and a job's start; 6 s after a worker's death."""
BEHIND = 2
"""Callers who join behind an observer, one after the other."""
BESIDE = 4
"""Callers who join beside the team's own worker."""
_REGISTERED_LIMIT_S = 30.0
_AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT


async def released_call(context: FaultContext) -> None:
    """An agent leaves on purpose while its caller stays, and its worker dies then: nobody is sent there until asked."""
    ticket = _own_ticket(context)
    room = await _join(context, ticket.token)
    if await context.until(lambda: _has_agent(room), AGENT_LIMIT_S) is None:
        raise FaultError("the call that is to be released got no agent")
    worker = await _worker_of(context, ticket.room)
    break_agent(context.senses, ticket.room, "leave")
    if await context.until(lambda: _is(context, ticket.room, "released"), AGENT_LIMIT_S) is None:
        raise FaultError("the call was not released")
    arrived = _arrivals(room)
    context.mark_injection(hit=(await context.calls_of_workers())[worker.id])
    os.killpg(worker.pid, signal.SIGKILL)
    await context.sleep(ALONE_S)
    context.wrong_arrivals += len(arrived)
    async with _api(context) as livekit:
        request = api.CreateAgentDispatchRequest(agent_name=AGENT_NAME, room=ticket.room)
        await livekit.agent_dispatch.create_dispatch(request)
    came_s = await context.until(lambda: _has_agent(room), AGENT_LIMIT_S)
    context.note("nobody came when an agent was asked for" if came_s is None else "an agent came when it was asked for")
    await room.disconnect()


async def observer_first(context: FaultContext) -> None:
    """A supervisor is in the room before its caller, a mute one comes later: they get no agent and take no ear."""
    for number in range(BEHIND):
        ticket = await context.client.create_call(CallRequest(region=REGION), patience_s=5.0)
        boss = await _join(context, _token(context, ticket.room, f"boss-{number}", role=Role.OBSERVER.value))
        arrived = _arrivals(boss)
        await context.sleep(1.5)
        context.wrong_arrivals += len(arrived)
        if number == 0:
            context.mark_injection()
        context.callers.join(ticket)
        await _join(context, _token(context, ticket.room, f"wall-{number}", mute=True))
    await context.callers.wait_greeted(AGENT_LIMIT_S)


async def connector_caller(context: FaultContext) -> None:
    """A caller of kind CONNECTOR (WhatsApp, Twilio) is served, and its worker killed."""
    ticket = _own_ticket(context, kind="connector")
    context.callers.join(ticket)
    if not await context.callers.wait_greeted(AGENT_LIMIT_S):
        raise FaultError("the caller of kind CONNECTOR was not greeted")
    await context.sleep(float(context.rng.uniform(1.0, 3.0)))
    worker = await _worker_of(context, ticket.room)
    context.mark_injection(hit=(await context.calls_of_workers())[worker.id])
    os.killpg(worker.pid, signal.SIGKILL)
    await context.sleep(SETTLE_S)


async def neighbour_worker(context: FaultContext) -> None:
    """A worker of the team's own, outside the fleet and under its agent name, takes some of the calls."""
    server = context.livekit
    log = Path(context.fixtures.directory) / "neighbour.log"
    environment = {
        "LIVEKIT_URL": server.url,
        "LIVEKIT_API_KEY": server.api_key,
        "LIVEKIT_API_SECRET": server.api_secret,
    }
    child = Child("neighbour", [sys.executable, "-m", bare_worker.__name__, "start"], log_path=log, env=environment)
    await context.undo.enter_async_context(running(child))
    if await context.until(lambda: _says(log, "registered worker"), _REGISTERED_LIMIT_S) is None:
        raise FaultError("the team's own worker did not register")
    context.mark_injection()
    rooms = []
    for _ in range(BESIDE):
        ticket = _own_ticket(context)
        context.callers.join(ticket)
        rooms.append(ticket.room)
        await context.sleep(float(context.rng.uniform(0.3, 1.0)))
    await context.callers.wait_greeted(AGENT_LIMIT_S)
    served = {call.room: call.state for call in await context.client.calls()}
    beside = sum(served.get(room) == "neighbour" for room in rooms)
    context.note(f"{beside} of {BESIDE} callers were the neighbour's")


def _keys(context: FaultContext) -> LiveKitKeys:
    return LiveKitKeys(context.livekit.api_key, context.livekit.api_secret)


def _api(context: FaultContext) -> api.LiveKitAPI:
    server = context.livekit
    return api.LiveKitAPI(server.http_url, server.api_key, server.api_secret)


def _own_ticket(context: FaultContext, *, kind: str = "standard") -> CallTicket:
    ticket = own_ticket(context.livekit.url, _keys(context), agent_name=AGENT_NAME, region=REGION, tier=None)
    if kind == "standard":
        return ticket
    made = _claims(context, ticket.room, ticket.identity).with_kind(kind)  # type: ignore[arg-type]
    agents = [api.RoomAgentDispatch(agent_name=AGENT_NAME)]
    return ticket.model_copy(update={"token": made.with_room_config(api.RoomConfiguration(agents=agents)).to_jwt()})


def _claims(context: FaultContext, room: str, identity: str, *, mute: bool = False) -> api.AccessToken:
    grants = api.VideoGrants(room_join=True, room=room, can_publish=not mute)
    return (
        api.AccessToken(context.livekit.api_key, context.livekit.api_secret).with_identity(identity).with_grants(grants)
    )


def _token(context: FaultContext, room: str, identity: str, *, role: str = "", mute: bool = False) -> str:
    return _claims(context, room, identity, mute=mute).with_attributes({ROLE_ATTRIBUTE: role} if role else {}).to_jwt()


async def _join(context: FaultContext, token: str) -> rtc.Room:
    room = rtc.Room()
    await room.connect(context.livekit.url, token)
    context.undo.push_async_callback(room.disconnect)
    return room


def _arrivals(room: rtc.Room) -> list[str]:
    """The agents that come from now on; filled as they do."""
    arrived: list[str] = []
    room.on("participant_connected", lambda who: arrived.append(who.identity) if who.kind == _AGENT else None)
    return arrived


async def _has_agent(room: rtc.Room) -> bool:
    return any(who.kind == _AGENT for who in room.remote_participants.values())


async def _is(context: FaultContext, room: str, state: str) -> bool:
    return any(call.room == room and call.state == state for call in await context.client.calls())


async def _worker_of(context: FaultContext, room: str) -> WorkerView:
    """The worker that serves the call in `room`. Raises FaultError when none does."""
    served: dict[str, str] = {}

    async def is_served() -> bool:
        served.update(await context.served())
        return room in served

    if await context.until(is_served, AGENT_LIMIT_S) is None:
        raise FaultError("no worker serves the call")
    found = next((worker for worker in await context.workers() if worker.id == served[room]), None)
    if found is None:
        raise FaultError("the call's worker is not known")
    return found


async def _says(log: Path, text: str) -> bool:
    with contextlib.suppress(OSError):
        return text in log.read_text(errors="replace")
    return False
