"""Outbound calls on fakes, in virtual time: an agent first, then the dial, and what each outcome leads to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from support.fake_livekit import Phone
from support.fake_region import FakeRegion, Run, with_region
from voicefleet.contract.calls import CallOrder, CallRecord, DispatchMetadata
from voicefleet.contract.dials import OUTBOUND, Dial, DialOrder
from voicefleet.controller.calls.dispatch import Dispatcher
from voicefleet.controller.calls.handoffs import Handoffs
from voicefleet.controller.calls.outbound import OWNED_MS, Dialer
from voicefleet.controller.calls.recovery import Recovery
from voicefleet.controller.rooms.listing import RoomLister
from voicefleet.runtime.tasks import cancel_and_wait

pytestmark = pytest.mark.unit

TRUNKS = {"ST_1": {"concurrent": 2, "per_s": 10}}
NUMBER = "+4930123456"


def dialer(fakes: FakeRegion) -> Run:
    return Dialer(fakes.region, "one").run


def dispatcher(fakes: FakeRegion) -> Run:
    return Dispatcher(fakes.region).run


def lister(fakes: FakeRegion) -> Run:
    return RoomLister(fakes.region, fakes.joins, every_s=2.0, max_duration_s=0.0).run


def recovery(fakes: FakeRegion) -> Run:
    return Recovery(fakes.region).run


LOOPS = (dialer, dispatcher, lister, recovery)


async def order(fakes: FakeRegion, room: str = "a", to: str = NUMBER, **more: Any) -> None:
    now_ms = await fakes.dials.now_ms()
    record = CallRecord(room, "eu", CallOrder(metadata="m"), key="front", outbound=True)
    await fakes.dials.create(Dial(record, DialOrder("ST_1", to, **more), since_ms=now_ms, due_ms=now_ms))


def state(fakes: FakeRegion, room: str = "a") -> str:
    return fakes.dials.dials[room].state


def reached(fakes: FakeRegion, wanted: str, room: str = "a") -> Callable[[], bool]:
    return lambda: state(fakes, room) == wanted


def dialled(fakes: FakeRegion) -> list[list[str]]:
    return fakes.livekit.asked("dial")


def test_an_agent_is_there_before_the_number_is_dialled() -> None:
    async def story(fakes: FakeRegion) -> None:
        await order(fakes)
        await fakes.clock.sleep(20.0)
        assert state(fakes) == "queued"
        assert dialled(fakes) == [], "nobody would answer the callee"
        (call,) = fakes.region.scans.snapshot.calls  # type: ignore[union-attr]
        assert call.state == "waiting", "it waits like any call"
        fakes.workers.add("w1")
        await fakes.until(lambda: dialled(fakes))
        assert len(fakes.livekit.agents("a")) == 1
        sent = DispatchMetadata.decode(fakes.livekit.rooms["a"].dispatches[-1])
        assert (sent.order.metadata, sent.extra) == ("m", {OUTBOUND: 1}), "the agent is to wait for the answer"
        await fakes.until(reached(fakes, "ringing"))
        await fakes.until(reached(fakes, "answered"))
        await fakes.clock.sleep(20.0)
        assert dialled(fakes) == [["a", "callee-1"]]
        assert fakes.metric("voicefleet_dials_total", result="answered") == 1

    with_region(story, *LOOPS, trunks=TRUNKS)


@pytest.mark.parametrize(
    ("code", "result"), [(486, "busy"), (603, "busy"), (480, "no_answer"), (408, "no_answer"), (503, "failed")]
)
def test_a_dial_that_fails_ends_the_call_and_nobody_is_sent_there_again(code: int, result: str) -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.phones[NUMBER] = Phone(refuses=code)
        fakes.workers.add("w1")
        await order(fakes)
        await fakes.until(reached(fakes, result))
        assert fakes.dials.dials["a"].sip_status_code == code
        await fakes.until(lambda: "a" not in fakes.livekit.rooms)
        await fakes.clock.sleep(30.0)
        assert len(dialled(fakes)) == 1
        assert "a" not in fakes.livekit.rooms, "no agent was recovered into it"
        assert "a" not in fakes.store.redis.callers
        assert fakes.dials.places["ST_1"] == set()

    with_region(story, *LOOPS, trunks=TRUNKS)


def test_a_busy_number_is_called_again_after_its_pause_as_often_as_was_asked() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.phones[NUMBER] = Phone(refuses=486)
        fakes.workers.add("w1")
        await order(fakes, attempts=3, retry_on=("busy",), retry_pause_s=60.0)
        await fakes.until(lambda: len(dialled(fakes)) == 1)
        await fakes.until(lambda: "a" not in fakes.livekit.rooms)
        assert fakes.store.redis.callers == {}, "no agent waits through the pause"
        fakes.livekit.phones[NUMBER] = Phone(refuses=503)
        assert await fakes.until(lambda: len(dialled(fakes)) == 2, 90.0) >= 57.0
        await fakes.until(reached(fakes, "failed"), 30.0)
        await fakes.clock.sleep(100.0)
        assert dialled(fakes) == [["a", "callee-1"], ["a", "callee-2"]], "failed is no reason to call again here"

    with_region(story, *LOOPS, trunks=TRUNKS)


def test_a_trunk_has_its_calls_at_once_and_its_pace() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.workers.add("w1", slots=5)
        for number in range(4):
            await order(fakes, f"r{number}")
        await fakes.until(lambda: len(dialled(fakes)) == 2)
        await fakes.until(lambda: [state(fakes, f"r{n}") for n in range(4)].count("answered") == 2)
        await fakes.clock.sleep(10.0)
        assert len(dialled(fakes)) == 2, "two at once"
        over = next(n for n in range(4) if state(fakes, f"r{n}") == "answered")
        fakes.workers.kill(f"r{over}", agent_stays=False)
        fakes.livekit.close_room(f"r{over}")
        await fakes.until(lambda: len(dialled(fakes)) == 3, 40.0)

    with_region(story, *LOOPS, slots=5, trunks=TRUNKS)


def test_another_replica_carries_on_with_a_dial_and_never_dials_again() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.phones[NUMBER] = Phone(rings_s=15.0)
        fakes.workers.add("w1")
        await order(fakes)
        first = Dialer(fakes.region, "first")
        task = asyncio.ensure_future(first.run())
        await fakes.until(reached(fakes, "ringing"))
        await cancel_and_wait([task])  # kill -9: nothing more is said
        second = asyncio.ensure_future(Dialer(fakes.region, "second").run())
        await fakes.until(lambda: fakes.dials.dials["a"].owner == "second", OWNED_MS / 1000 + 1.0)
        await fakes.until(reached(fakes, "answered"))
        assert len(dialled(fakes)) == 1
        await cancel_and_wait([second])

    with_region(story, dispatcher, lister, recovery, trunks=TRUNKS)


@pytest.mark.parametrize("seen", [True, False])
def test_a_dial_whose_replica_died_and_of_which_nothing_is_there_is_not_repeated(seen: bool) -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.open("a")
        await order(fakes)
        now_ms = await fakes.dials.now_ms()
        dial = replace(
            fakes.dials.dials["a"], state="dialling", admitted=True, owner="dead", owned_until_ms=now_ms, seen=seen
        )
        fakes.dials.dials["a"] = replace(dial, since_ms=now_ms, due_ms=now_ms)
        await fakes.until(reached(fakes, "no_answer" if seen else "failed"), 10.0)
        await fakes.clock.sleep(10.0)
        assert dialled(fakes) == []

    with_region(story, dialer, trunks=TRUNKS)


def test_a_livekit_that_is_not_reached_is_asked_again() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.phones[NUMBER] = Phone(unreachable=True)
        fakes.workers.add("w1")
        await order(fakes)
        await fakes.until(lambda: len(dialled(fakes)) == 2)
        fakes.livekit.phones.clear()
        await fakes.until(reached(fakes, "answered"))
        assert fakes.dials.dials["a"].attempt == 1

    with_region(story, *LOOPS, trunks=TRUNKS)


def test_redis_away_while_it_is_answered_is_told_afterwards() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.workers.add("w1")
        await order(fakes)
        await fakes.until(reached(fakes, "ringing"))
        fakes.dials.away = True
        await fakes.clock.sleep(8.0)
        fakes.dials.away = False
        await fakes.until(reached(fakes, "answered"), 2.0)
        assert len(dialled(fakes)) == 1

    with_region(story, *LOOPS, trunks=TRUNKS)


def test_an_agent_that_dies_while_it_rings_is_replaced() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.phones[NUMBER] = Phone(rings_s=20.0)
        fakes.workers.add("w1")
        await order(fakes)
        await fakes.until(reached(fakes, "ringing"))
        job = fakes.holder("a")
        fakes.workers.add("w2")
        fakes.workers.kill("a", agent_stays=False)
        await fakes.until(lambda: fakes.holder("a") not in ("", job), 15.0)
        await fakes.until(reached(fakes, "answered"))
        assert len(dialled(fakes)) == 1

    with_region(story, *LOOPS, trunks=TRUNKS)


def test_a_call_that_waits_too_long_is_not_made_any_more() -> None:
    async def story(fakes: FakeRegion) -> None:
        await order(fakes, wait_s=10.0)
        await fakes.until(reached(fakes, "failed"), 15.0)
        assert fakes.dials.dials["a"].detail == "no agent was free in time"
        fakes.workers.add("w1")
        await fakes.clock.sleep(10.0)
        assert dialled(fakes) == []

    with_region(story, *LOOPS, trunks=TRUNKS)


def test_a_call_that_is_cancelled_while_it_rings_ends() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.phones[NUMBER] = Phone(rings_s=20.0)
        fakes.workers.add("w1")
        await order(fakes, attempts=3, retry_on=("failed",))
        await fakes.until(reached(fakes, "ringing"))
        await fakes.dials.cancel("a")
        await fakes.until(lambda: "a" not in fakes.livekit.rooms)
        assert (state(fakes), fakes.dials.dials["a"].detail) == ("failed", "cancelled")
        await fakes.clock.sleep(100.0)
        assert len(dialled(fakes)) == 1

    with_region(story, *LOOPS, trunks=TRUNKS)


def test_a_worker_that_drains_keeps_a_call_while_it_rings() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.phones[NUMBER] = Phone(rings_s=10.0)
        fakes.workers.add("w1")
        await order(fakes)
        await fakes.until(reached(fakes, "ringing"))
        fakes.workers.add("w2")
        fakes.workers.all["w1"].state = "draining"
        holder = fakes.holder("a")
        await fakes.until(reached(fakes, "answered"))
        assert fakes.store.redis.handoff("a") is None
        assert fakes.holder("a") == holder
        await fakes.until(lambda: fakes.store.redis.handoff("a") or fakes.holder("a") != holder)

    def handoffs(fakes: FakeRegion) -> Run:
        return Handoffs(fakes.region).run

    with_region(story, *LOOPS, handoffs, trunks=TRUNKS)
