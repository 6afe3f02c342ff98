"""Callers on a real livekit-server, against an agent whose delays are known in the caller's own process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from livekit import api
from livekit.rtc._proto.room_pb2 import SimulateScenarioKind

from support.echo_agent import EchoAgent, token
from voicefleet.callers.behavior import CallerBehavior
from voicefleet.callers.caller import Caller, CallerSettings
from voicefleet.callers.connection import _LEAVING
from voicefleet.callers.native import NativeClient
from voicefleet.callers.outcome import CallOutcome, summary
from voicefleet.callers.swarm import SwarmSettings, run_swarm, script
from voicefleet.contract.api import CallTicket
from voicefleet.speech.clips import load_utterances
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration

CLIPS = load_utterances()
ONE_WAY_S = (0.0, 0.2)
"""Codec, jitter buffer and playout on loopback: 30-75 ms on an idle machine; wide, since tests share theirs."""
HASTY = CallerSettings(behavior=CallerBehavior(turn_timeout_s=2.0, patience_s=3.0, cut_after_s=1.5))


def new_ticket(livekit: LiveKit) -> CallTicket:
    room = f"room-{uuid4().hex[:8]}"
    jwt = token(livekit.api_key, livekit.api_secret, room, "caller", agent=False)
    return CallTicket(url=livekit.url, token=jwt, room=room, region="test")


@asynccontextmanager
async def agent_in(livekit: LiveKit, ticket: CallTicket, name: str = "agent", **how: Any):  # type: ignore[no-untyped-def]
    jwt = token(livekit.api_key, livekit.api_secret, ticket.room, name, agent=True)
    agent = EchoAgent(livekit.url, jwt, **how)
    await agent.start()
    try:
        yield agent
    finally:
        await agent.aclose()


def caller_for(
    ticket: CallTicket, turns: int, settings: CallerSettings | None = None, voice: int = 0, **how: Any
) -> Caller:
    questions = script(voice, SwarmSettings(turns=turns), CLIPS)
    return Caller("c", ticket, questions, settings, **how)


def kinds(outcome: CallOutcome) -> list[str]:
    return [kind for _, kind in outcome.events]


@pytest.fixture(autouse=True)
async def no_task_is_left() -> Any:
    """What a test started has ended when it ends: callers and agents own their tasks."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    left = {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}
    assert not left


async def test_ttfa_is_the_agents_delay_plus_the_way_there_and_back(livekit: LiveKit) -> None:
    ticket = new_ticket(livekit)
    async with agent_in(livekit, ticket, delay_s=0.4) as agent:
        outcome = await caller_for(ticket, turns=3, voice=2).run()
    assert outcome.error is None
    assert outcome.joined_at_s is not None
    assert outcome.greeting_s is not None
    assert agent.greeted_s is not None
    assert ONE_WAY_S[0] < outcome.joined_at_s + outcome.greeting_s - agent.greeted_s < ONE_WAY_S[1]
    assert len(outcome.turns) == len(agent.replies) == 3
    for turn, reply in zip(outcome.turns, agent.replies, strict=True):
        assert turn.answered
        assert not turn.cut_in
        assert turn.ttfa_s is not None
        t0_s = outcome.joined_at_s + turn.t0_s
        # T0 against the agent's ears: what it heard last cannot have been said later, nor long before.
        assert ONE_WAY_S[0] < reply.heard_end_s - t0_s < ONE_WAY_S[1]
        # T1 against the agent's speech.
        assert ONE_WAY_S[0] < t0_s + turn.ttfa_s - reply.spoke_s < ONE_WAY_S[1]
        assert turn.reply_end_s is not None
        assert turn.reply_end_s - turn.t0_s - turn.ttfa_s == pytest.approx(agent.speech_s, abs=0.05)
    assert (outcome.silent, outcome.cut, outcome.double_speech, outcome.answered) == (False, False, 0, True)
    assert kinds(outcome) == ["joined", "agent_joined", "agent_audio", "greeting"] + ["asked", "reply"] * 3 + ["hangup"]
    assert summary([outcome])["turns"] == {"asked": 3, "answered": 3, "apologies": 0}


async def test_an_agent_that_never_speaks_is_silence(livekit: LiveKit) -> None:
    ticket = new_ticket(livekit)
    async with agent_in(livekit, ticket, greets_after_s=None):
        outcome = await caller_for(ticket, turns=2, settings=HASTY).run()
    assert (outcome.silent, outcome.cut, outcome.answered, outcome.turns) == (True, False, False, ())
    assert outcome.wait_s == pytest.approx(0.0, abs=0.1)
    assert outcome.greeting_s is None
    assert outcome.ended_s == pytest.approx(3.3, abs=0.5)


async def test_no_agent_at_all_is_silence(livekit: LiveKit) -> None:
    outcome = await caller_for(new_ticket(livekit), turns=2, settings=HASTY).run()
    assert (outcome.silent, outcome.cut, outcome.answered, outcome.wait_s) == (True, False, False, None)


async def test_a_late_greeting_is_both_heard_and_silence(livekit: LiveKit) -> None:
    ticket = new_ticket(livekit)
    patient = CallerSettings(behavior=CallerBehavior(turn_timeout_s=1.0, patience_s=20.0))
    async with agent_in(livekit, ticket, greets_after_s=2.0):
        outcome = await caller_for(ticket, turns=0, settings=patient).run()
    assert (outcome.silent, outcome.answered) == (True, True)
    assert outcome.greeting_s is not None
    assert 1.8 < outcome.greeting_s < 4.0


async def test_a_question_without_a_reply_is_scored(livekit: LiveKit) -> None:
    ticket = new_ticket(livekit)
    async with agent_in(livekit, ticket, delay_s=None):
        outcome = await caller_for(ticket, turns=2, settings=HASTY).run()
    (turn,) = outcome.turns
    assert (turn.answered, turn.ttfa_s, outcome.silent) == (False, None, True)


async def test_an_agent_that_vanishes_cuts_the_call(livekit: LiveKit) -> None:
    ticket = new_ticket(livekit)
    async with agent_in(livekit, ticket) as agent:
        call = asyncio.create_task(caller_for(ticket, turns=3, settings=HASTY).run())
        while not agent.replies:
            await asyncio.sleep(0.05)
        await asyncio.sleep(agent.speech_s)
    outcome = await call
    assert outcome.cut
    assert outcome.turns[0].answered
    assert {"agent_left", "cut"} <= set(kinds(outcome))


async def test_a_room_deleted_under_the_caller_is_a_cut(livekit: LiveKit) -> None:
    ticket = new_ticket(livekit)
    async with agent_in(livekit, ticket, speech_s=20.0):
        call = asyncio.create_task(caller_for(ticket, turns=1).run())
        await asyncio.sleep(1.5)
        async with api.LiveKitAPI(livekit.http_url, livekit.api_key, livekit.api_secret) as lk:
            await lk.room.delete_room(api.DeleteRoomRequest(room=ticket.room))
        outcome = await call
    assert (outcome.cut, outcome.answered, outcome.silent) == (True, True, False)
    assert outcome.ended_s < 5


async def test_an_agent_that_talks_over_the_question_gives_no_ttfa(livekit: LiveKit) -> None:
    ticket = new_ticket(livekit)
    async with agent_in(livekit, ticket, talks_over_after_s=0.4) as agent:
        agent.speech_s = 2.5
        outcome = await caller_for(ticket, turns=1).run()
    (turn,) = outcome.turns
    assert (turn.cut_in, turn.ttfa_s, turn.answered) == (True, None, True)
    assert "cut_in" in kinds(outcome)


async def test_two_agents_speaking_at_once_are_noticed(livekit: LiveKit) -> None:
    ticket = new_ticket(livekit)
    async with agent_in(livekit, ticket, "one"), agent_in(livekit, ticket, "two"):
        # Both agents are up; whoever joins now hears their next words: replies to the first question.
        outcome = await caller_for(ticket, turns=1).run()
    assert outcome.double_speech >= 1


async def test_a_caller_survives_a_reconnection(livekit: LiveKit) -> None:
    ticket = new_ticket(livekit)

    def disturb(_call: str, kind: str, _t_s: float, _data: Mapping[str, Any]) -> None:
        if kind == "reply" and not disturbed:
            scenario = SimulateScenarioKind.SIMULATE_FULL_RECONNECT
            assert isinstance(caller._client, NativeClient)
            disturbed.append(asyncio.create_task(caller._client.room.simulate_scenario(scenario)))

    disturbed: list[asyncio.Task[None]] = []
    async with agent_in(livekit, ticket):
        caller = caller_for(ticket, turns=3, on_event=disturb)
        outcome = await caller.run()
        await asyncio.gather(*disturbed)
    assert "reconnected" in kinds(outcome)
    assert [turn.answered for turn in outcome.turns] == [True, True, True]
    assert not outcome.cut


async def test_a_refused_token_is_an_outcome(livekit: LiveKit) -> None:
    ticket = new_ticket(livekit)
    forged = token(livekit.api_key, "x" * 40, ticket.room, "caller", agent=False)
    bad = ticket.model_copy(update={"token": forged})
    outcome = await caller_for(bad, turns=1).run()
    assert outcome.error is not None
    assert outcome.error.startswith("connect:")
    assert (outcome.answered, outcome.joined_at_s, outcome.silent) == (False, None, False)


async def test_a_server_that_hangs_is_given_up(livekit: LiveKit) -> None:
    writers: list[asyncio.StreamWriter] = []
    hole = await asyncio.start_server(lambda _reader, writer: writers.append(writer), "127.0.0.1", 0)
    port = hole.sockets[0].getsockname()[1]
    dead = new_ticket(livekit).model_copy(update={"url": f"ws://127.0.0.1:{port}"})
    try:
        outcome = await asyncio.wait_for(
            caller_for(dead, turns=1, settings=CallerSettings(connect_timeout_s=1.0)).run(), 30
        )
    finally:
        for writer in writers:
            writer.close()
        hole.close()
    assert outcome.error is not None
    assert "no answer within 1 s" in outcome.error
    assert outcome.connect_s is None
    await asyncio.wait_for(asyncio.gather(*_LEAVING), 30)  # the SDK gives up by itself, later


async def test_a_swarm_runs_open_loop_and_yields_every_call(livekit: LiveKit) -> None:
    tickets = [new_ticket(livekit) for _ in range(3)]
    seen: set[tuple[str, str]] = set()

    async def place(call: int) -> CallTicket:
        return tickets[call]

    async with AsyncExitStack() as stack:
        for ticket in tickets:
            await stack.enter_async_context(agent_in(livekit, ticket))
        swarm = run_swarm(
            [0.0, 0.3, 0.6],
            place,
            CLIPS,
            SwarmSettings(turns=1),
            on_event=lambda call, kind, _t, _data: seen.add((call, kind)),
        )
        async with aclosing(swarm):
            outcomes = [outcome async for outcome in swarm]
    assert {o.room for o in outcomes} == {t.room for t in tickets}
    assert [round(o.t_start_s, 1) for o in sorted(outcomes, key=lambda o: o.call_id)] == [0.0, 0.3, 0.6]
    assert all(o.lag_s < 0.25 and o.turns[0].answered for o in outcomes)
    assert ("call-00001", "reply") in seen
    assert summary(outcomes)["calls"] == {"offered": 3, "answered": 3, "silent": 0, "cut": 0}


async def test_a_swarm_that_is_left_hangs_up_every_call(livekit: LiveKit) -> None:
    tickets = [new_ticket(livekit) for _ in range(3)]
    joined: set[str] = set()
    all_joined = asyncio.Event()

    async def place(call: int) -> CallTicket:
        return tickets[call]

    def watch(call: str, kind: str, _t_s: float, _data: Mapping[str, Any]) -> None:
        if kind == "joined":
            joined.add(call)
        if len(joined) == len(tickets):
            all_joined.set()

    async def run() -> None:
        swarm = run_swarm(
            [0.0, 0.0, 0.0],
            place,
            CLIPS,
            on_event=watch,
        )
        async with aclosing(swarm):
            async for _ in swarm:
                pass

    running = asyncio.create_task(run())
    await all_joined.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 10)
    async with api.LiveKitAPI(livekit.http_url, livekit.api_key, livekit.api_secret) as lk:
        for ticket in tickets:
            left = await lk.room.list_participants(api.ListParticipantsRequest(room=ticket.room))
            assert list(left.participants) == []
