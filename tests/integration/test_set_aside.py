"""Calls that want no agent, and callers behind others: real livekit-server, Redis, controller and worker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from livekit import api, rtc

from support.controlling import FRONT, Running, controller, region
from support.eventually import eventually
from support.worker_process import WorkerProcess, worker
from voicefleet.callers.caller import Caller
from voicefleet.contract.api import CallTicket
from voicefleet.contract.callers import ROLE_ATTRIBUTE
from voicefleet.contract.neighbours import AGENT_NAME_ATTRIBUTE
from voicefleet.speech.clips import load_utterances
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration

TEAM = """
import asyncio
from voicefleet.worker.agents import Assistant

class Leaves(Assistant):
    async def on_enter(self):
        await super().on_enter()
        self.leaving = asyncio.create_task(self.leave())

    async def leave(self):
        await asyncio.sleep(1.0)
        self.session.shutdown()

def create(call):
    return Leaves("Hello.") if call.room.startswith("leaves") else Assistant("Hello.")
"""
STAYS_AWAY_S = 4.0
"""Far longer than it takes to dispatch an agent."""


def token(livekit: LiveKit, room: str, identity: str, *, kind: str = "standard", **attributes: str) -> str:
    return (
        api.AccessToken(livekit.api_key, livekit.api_secret)
        .with_identity(identity)
        .with_kind(kind)  # type: ignore[arg-type]
        .with_attributes({name.replace("__", "."): value for name, value in attributes.items()})
        .with_grants(api.VideoGrants(room_join=True, room=room))
        .to_jwt()
    )


@contextlib.asynccontextmanager
async def joined(livekit: LiveKit, room: str, identity: str, **more: Any) -> AsyncIterator[rtc.Room]:
    here = rtc.Room()
    await here.connect(livekit.url, token(livekit, room, identity, **more))
    try:
        yield here
    finally:
        await here.disconnect()


def agents(room: rtc.Room) -> list[str]:
    there = room.remote_participants.values()
    return [p.identity for p in there if p.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT]


async def is_in_state(running: Running, room: str, state: str, reason: str = "") -> bool:
    call = await running.call(room)
    return call is not None and (call["state"], call["reason"]) == (state, reason)


@contextlib.asynccontextmanager
async def fleet(tmp_path: Path, livekit: LiveKit, redis_url: str) -> AsyncIterator[tuple[Running, WorkerProcess]]:
    (tmp_path / "team.py").write_text(TEAM)
    one = region(livekit, rooms="all", pool={"max_workers": 4, "slots": 4})
    target = f"{tmp_path / 'team.py'}:create"
    async with (
        controller(tmp_path, livekit, redis_url, regions={"test": one}) as running,
        worker(livekit, redis_url, tmp_path, slots=4, VOICEFLEET_AGENT=target) as w,
    ):
        yield running, w


async def test_calls_that_want_no_agent_get_none(tmp_path: Path, livekit: LiveKit, redis_url: str) -> None:
    async with (
        fleet(tmp_path, livekit, redis_url) as (running, w),
        joined(livekit, "leaves", "ann") as leaves,
        joined(livekit, "stays", "bob") as stays,
        joined(livekit, "served", "cid") as served,
        joined(
            livekit, "served", "agent-X", kind="agent", **{AGENT_NAME_ATTRIBUTE.replace(".", "__"): "voicefleet"}
        ) as x,
    ):
        # The agent of one leaves on purpose, of another one it is removed; the third has one of the team's own.
        await eventually(lambda: is_in_state(running, "leaves", "released", "session_closed"), 20.0)
        await eventually(lambda: bool(agents(stays)))
        await eventually(lambda: is_in_state(running, "stays", "live"))
        await running.api.room.remove_participant(api.RoomParticipantIdentity(room="stays", identity=agents(stays)[0]))
        await eventually(lambda: is_in_state(running, "stays", "released", "agent_removed"))
        await eventually(lambda: is_in_state(running, "served", "neighbour"))
        dispatched = {room: len(await running.dispatches(room)) for room in ("leaves", "stays", "served")}
        await asyncio.sleep(STAYS_AWAY_S)
        assert {room: len(await running.dispatches(room)) for room in dispatched} == dispatched
        assert (agents(leaves), agents(stays), agents(served)) == ([], [], ["agent-X"])
        views = await running.get("/v1/regions")
        assert (views["regions"][0]["waiting"], views["regions"][0]["set_aside"]) == (0, 3)
        # Somebody asks for an agent again, and the one of the team's own leaves.
        async with running.http.post(f"{running.url}/v1/calls/stays/agent", json={}, headers=FRONT) as answer:
            assert (answer.status, (await answer.json())["state"]) == (202, "requested")
        await eventually(lambda: bool(agents(stays)), 5.0)
        await x.disconnect()
        await eventually(lambda: any(i.startswith("agent-AJ_") for i in agents(served)), 10.0)
        assert agents(leaves) == []
        assert "RuntimeError" not in w.child.log_tail()


async def test_a_caller_behind_an_observer_is_heard_and_one_of_a_connector_too(
    tmp_path: Path, livekit: LiveKit, redis_url: str
) -> None:
    async with (
        fleet(tmp_path, livekit, redis_url) as (running, w),
        joined(livekit, "watched", "boss", **{ROLE_ATTRIBUTE.replace(".", "__"): "observer"}),
    ):
        await asyncio.sleep(2.5)
        assert await running.call("watched") is None, "an observer gets no agent"
        ticket = CallTicket(
            url=livekit.url,
            token=token(livekit, "watched", "ann", kind="connector"),
            room="watched",
            region="test",
        )
        outcome = await Caller("ann", ticket, load_utterances()[:2]).run()
        assert outcome.greeting_s is not None, w.child.log_tail()
        assert [turn.ttfa_s is not None for turn in outcome.turns] == [True, True], w.child.log_tail()
        # An observer that stays holds no agent.
        await w.until(lambda r: r.free == 4, 40.0)
