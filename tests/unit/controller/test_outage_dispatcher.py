"""Dispatch during an outage of Redis, on fakes: callers are found in LiveKit alone."""

from __future__ import annotations

import pytest

from support.fake_region import FakeRegion, Run, with_region
from voicefleet.contract.calls import DispatchMetadata
from voicefleet.controller.calls.dispatch import Dispatcher
from voicefleet.controller.calls.redis_outage import OutageDispatcher

pytestmark = pytest.mark.unit


def outage(fakes: FakeRegion) -> Run:
    return OutageDispatcher(fakes.region).run


def dispatcher(fakes: FakeRegion) -> Run:
    return Dispatcher(fakes.region).run


def made(fakes: FakeRegion) -> float:
    return fakes.metric("voicefleet_outage_dispatches_total")


def test_a_caller_without_an_agent_is_served_while_redis_is_away() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.store.redis.away = True
        first = DispatchMetadata("fast", "order 7").encode()
        fakes.livekit.join("a", dispatch=first)
        await fakes.clock.sleep(0.5)
        fakes.workers.add("w1")
        assert await fakes.until(lambda: fakes.livekit.agents("a")) < 6.0
        assert DispatchMetadata.decode(fakes.livekit.rooms["a"].dispatches[-1]) == DispatchMetadata(
            "fast", "order 7", 1
        )
        await fakes.clock.sleep(10.0)
        assert made(fakes) == 1, "who has an agent is left alone"

    with_region(story, outage, dispatcher)


def test_nothing_is_done_while_redis_answers() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.join("a")
        await fakes.clock.sleep(10.0)
        assert (made(fakes), fakes.livekit.asked("list_rooms")) == (0, [])

    with_region(story, outage, dispatcher)


def test_livekits_own_dispatch_is_given_its_second() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.store.redis.away = True
        fakes.workers.add("w1")
        await fakes.clock.sleep(4.0)
        fakes.livekit.join("a")
        await fakes.clock.sleep(6.0)
        assert (fakes.livekit.agents("a"), made(fakes)) == (["agent-J1"], 0)

    with_region(story, outage, dispatcher)


def test_a_lost_dispatch_is_repeated_and_more_rarely_after_the_fourth() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.store.redis.away = True
        fakes.livekit.join("a")
        await fakes.clock.sleep(2.5)
        await fakes.clock.sleep(30.0)
        assert fakes.livekit.attempts("a") == list(range(1, int(made(fakes)) + 1))
        assert 8 <= made(fakes) <= 11, "four within 8 s, then one every 4 s"

    with_region(story, outage, dispatcher)


def test_a_room_of_somebody_elses_is_left_alone() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.store.redis.away = True
        fakes.livekit.join("meeting", dispatch=None)
        await fakes.clock.sleep(20.0)
        assert made(fakes) == 0
        assert len(fakes.livekit.asked("dispatch_metadata")) == 1

    with_region(story, outage, dispatcher)


def test_where_every_room_is_a_call_one_without_a_dispatch_is_served_too() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.store.redis.away = True
        fakes.livekit.join("meeting", dispatch=None)
        fakes.workers.add("w1")
        await fakes.until(lambda: fakes.livekit.agents("meeting"))

    with_region(story, outage, dispatcher, rooms="all")


def test_another_replicas_dispatch_is_given_its_time() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.store.redis.away = True
        fakes.livekit.join("a")
        await fakes.until(lambda: made(fakes) == 1)
        await fakes.clock.sleep(1.9)
        fakes.livekit.rooms["a"].dispatches.append(DispatchMetadata(attempt=1).encode())
        await fakes.clock.sleep(1.5)
        assert made(fakes) == 1
        await fakes.until(lambda: made(fakes) == 2, 3.0)

    with_region(story, outage, dispatcher)


def test_one_room_that_cannot_be_listed_does_not_keep_the_others() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.store.redis.away = True
        fakes.livekit.join("a")
        fakes.livekit.join("b")
        fakes.livekit.broken.add("a")
        await fakes.until(lambda: made(fakes) == 1)
        assert fakes.livekit.attempts("b") == [1]
        fakes.livekit.broken.clear()
        await fakes.until(lambda: fakes.livekit.attempts("a") == [1])

    with_region(story, outage, dispatcher)


def test_a_caller_who_loses_its_agent_again_is_counted_from_the_beginning() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.store.redis.away = True
        fakes.livekit.join("a")
        await fakes.clock.sleep(0.5)
        fakes.workers.add("w1")
        await fakes.until(lambda: fakes.livekit.agents("a"))
        await fakes.clock.sleep(1.0)
        fakes.livekit.leave("a", fakes.workers.job("a").identity)
        took_s = await fakes.until(lambda: made(fakes) == 2)
        assert took_s >= 1.0, "alone for a second before it is dispatched"
        assert fakes.livekit.attempts("a") == [1, 1]

    with_region(story, outage, dispatcher)


def test_the_next_outage_begins_anew() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.store.redis.away = True
        fakes.livekit.join("a")
        await fakes.until(lambda: made(fakes) == 3)
        fakes.store.redis.away = False
        await fakes.clock.sleep(3.0)
        fakes.store.redis.away = True
        await fakes.until(lambda: made(fakes) == 4)
        assert fakes.livekit.attempts("a") == [1, 2, 3, 1]

    with_region(story, outage, dispatcher)
