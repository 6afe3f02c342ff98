"""The swarm in made-up time, with a controller that refuses: calls start when due, and none is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import pytest

from voicefleet.callers.caller import CallerSettings
from voicefleet.callers.native import NativeEngine
from voicefleet.callers.port import ClientSettings, RoomListener
from voicefleet.callers.swarm import SwarmSettings, run_swarm, script
from voicefleet.contract.api import CallTicket
from voicefleet.contract.errors import ConfigError, UnreachableError
from voicefleet.speech.clips import load_utterances

pytestmark = pytest.mark.unit

CLIPS = load_utterances()


class JumpClock:
    """Time that jumps to the end of every sleep; sleeping yields to the other tasks first."""

    def __init__(self) -> None:
        self.now = 500.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> datetime:
        return datetime(2025, 1, 1, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        await asyncio.sleep(0)
        self.now = max(self.now, until)


async def refuse(_call: int) -> CallTicket:
    raise UnreachableError("no", field="controller", hint="Start it.")


async def test_each_call_is_placed_at_its_time_and_a_refusal_is_an_outcome() -> None:
    clock = JumpClock()
    placed: dict[int, float] = {}
    events: list[tuple[str, str, Mapping[str, Any]]] = []

    async def place(call: int) -> CallTicket:
        placed[call] = clock.now - 500.0
        return await refuse(call)

    swarm = run_swarm(
        [0.0, 1.5, 1.5, 4.0],
        place,
        CLIPS,
        on_event=lambda call, kind, _t, data: events.append((call, kind, data)),
        clock=clock,
    )
    async with aclosing(swarm):
        outcomes = [outcome async for outcome in swarm]
    assert placed == {0: 0.0, 1: 1.5, 2: 1.5, 3: 4.0}
    assert [(o.call_id, o.t_start_s, o.lag_s) for o in outcomes] == [
        ("call-00000", 0.0, 0.0),
        ("call-00001", 1.5, 0.0),
        ("call-00002", 1.5, 0.0),
        ("call-00003", 4.0, 0.0),
    ]
    assert all("UnreachableError" in str(o.error) and not o.answered for o in outcomes)
    assert [kind for call, kind, _ in events if call == "call-00001"] == ["due", "failed"]


async def test_a_slow_controller_does_not_hold_back_the_calls_that_follow() -> None:
    clock = JumpClock()
    hold = asyncio.Event()

    async def place(call: int) -> CallTicket:
        if call == 0:
            await hold.wait()
        return await refuse(call)

    swarm = run_swarm([0.0, 1.0], place, CLIPS, clock=clock)
    async with aclosing(swarm):
        first = await anext(swarm)
        assert first.call_id == "call-00001"
        hold.set()
        assert (await anext(swarm)).place_s == pytest.approx(1.0)


async def test_a_late_start_is_recorded_as_the_generator_s_own_lag() -> None:
    clock = JumpClock()

    async def place(call: int) -> CallTicket:
        clock.now += 3.0  # the process itself was busy
        return await refuse(call)

    swarm = run_swarm([0.0, 0.0], place, CLIPS, clock=clock)
    async with aclosing(swarm):
        assert [o.lag_s async for o in swarm] == [0.0, 3.0]


async def test_leaving_early_ends_every_call_and_leaves_no_task() -> None:
    ended: list[int] = []

    async def place(call: int) -> CallTicket:
        if call == 2:
            return await refuse(call)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(call)
        raise AssertionError

    before = asyncio.all_tasks()
    swarm = run_swarm([0.0, 0.0, 0.0, 900.0], place, CLIPS)
    async with aclosing(swarm):
        assert (await anext(swarm)).call_id == "call-00002"
    assert sorted(ended) == [0, 1]
    assert asyncio.all_tasks() == before


class Client:
    """Enters the rooms of one region alone, and is told at once that the platform ended the call."""

    media = None

    def __init__(self, ticket: CallTicket, listener: RoomListener, clock: JumpClock, reachable: str) -> None:
        self.ticket, self.listener, self.clock, self.reachable = ticket, listener, clock, reachable

    async def join(self) -> str | None:
        self.clock.now += 2.0
        if self.ticket.region != self.reachable:
            return "connect: refused"
        self.listener.entered(self.clock.now)
        return None

    async def publish(self) -> None:
        self.listener.disconnected(self.clock.now)

    async def leave(self) -> None:
        pass


@pytest.mark.parametrize(("reachable", "asked"), [("eu", []), ("ap", ["us", "ap"]), ("none", ["us", "ap"])])
async def test_a_caller_whose_region_cannot_be_reached_goes_on_to_the_alternatives_of_its_ticket(
    reachable: str, asked: list[str]
) -> None:
    clock, went, told = JumpClock(), [], []

    def ticket(region: str, *others: str) -> CallTicket:
        there = [{"region": other, "url": f"ws://{other}"} for other in others]
        given = {"url": f"ws://{region}", "token": "t", "room": "r", "region": region, "alternatives": there}
        return CallTicket.model_validate({**given, "identity": "ann"})

    class Engine(NativeEngine):
        def client(
            self, call_id: str, ticket: CallTicket, listener: RoomListener, wishes: ClientSettings, clock: Any
        ) -> Any:
            return Client(ticket, listener, clock, reachable)

    async def place(_call: int) -> CallTicket:
        return ticket("eu", "us", "ap")

    async def elsewhere(call: int, region: str, identity: str) -> CallTicket:
        went.append((call, region, identity))
        return ticket(region)

    settings = SwarmSettings(turns=0, caller=CallerSettings(engine=Engine()))
    swarm = run_swarm(
        [0.0],
        place,
        CLIPS,
        settings,
        on_event=lambda _call, kind, _t, data: told.append((kind, data.get("region"))),
        clock=clock,
        elsewhere=elsewhere,
    )
    async with aclosing(swarm):
        outcome = await anext(swarm)
    assert went == [(0, region, "ann") for region in asked]
    assert [region for kind, region in told if kind == "elsewhere"] == asked
    assert outcome.place_s == pytest.approx(2.0 * len(asked)), "the caller waited for it"
    assert (outcome.connect_s is None) == (reachable == "none")
    assert outcome.region == ("ap" if reachable == "none" else reachable)


def test_questions_are_of_one_voice_differ_and_repeat_for_a_seed() -> None:
    settings = SwarmSettings(turns=5, seed=3)
    scripts = [script(call, settings, CLIPS) for call in range(8)]
    assert scripts == [script(call, settings, CLIPS) for call in range(8)]
    assert [questions[0].voice for questions in scripts] == ["slt", "awb", "rms", "kal16"] * 2
    assert all(len({u.text for u in q}) == 5 and len({u.voice for u in q}) == 1 for q in scripts)
    assert scripts[0] != scripts[4]
    assert scripts[0] != script(0, SwarmSettings(turns=5, seed=4), CLIPS)


async def test_bad_input_is_refused_before_any_call() -> None:
    with pytest.raises(ConfigError, match="turns = 13"):
        script(0, SwarmSettings(turns=13), CLIPS)
    with pytest.raises(ConfigError, match="offsets_s"):
        await anext(run_swarm([1.0, 0.5], refuse, CLIPS))


def test_a_ticket_does_not_show_its_token() -> None:
    assert "geheim" not in repr(CallTicket(url="ws://x", token="geheim", room="r", region="eu"))
