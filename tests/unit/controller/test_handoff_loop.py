"""The loop of handoffs on fakes: whose calls move, to whom, and what becomes of those that fail."""

from __future__ import annotations

import pytest

from support.fake_region import FakeRegion, Run, with_region
from voicefleet.controller.calls.dispatch import Dispatcher
from voicefleet.controller.calls.handoff_plan import HUNG_AFTER_S
from voicefleet.controller.calls.handoffs import Handoffs

pytestmark = pytest.mark.unit


def handoffs(fakes: FakeRegion) -> Run:
    return Handoffs(fakes.region).run


def dispatcher(fakes: FakeRegion) -> Run:
    return Dispatcher(fakes.region).run


async def served(fakes: FakeRegion, *rooms: str) -> None:
    """The calls of `rooms` are live on w1, and Redis has settled."""
    fakes.workers.add("w1", slots=len(rooms))
    for room in rooms:
        await fakes.call(room)
    await fakes.until(lambda: all(fakes.holder(room) for room in rooms))
    await fakes.clock.sleep(5.0)


def on(fakes: FakeRegion, room: str) -> str:
    claim = fakes.store.redis.claim(room)
    return claim.worker if claim else ""


def result(fakes: FakeRegion, name: str) -> float:
    return fakes.metric("voicefleet_calls_handed_off_total", result=name)


def test_the_calls_of_a_worker_that_drains_move_one_after_the_other_and_none_is_left_without_an_agent() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a", "b")
        fakes.workers.add("w2", slots=2)
        fakes.workers.all["w1"].state = "draining"
        gaps = 0
        for _ in range(1_000):
            await fakes.clock.sleep(0.01)
            gaps += not fakes.holder("a") or not fakes.holder("b")
        assert (on(fakes, "a"), on(fakes, "b")) == ("w2", "w2")
        assert gaps == 0, "until the very end the old job has the call"
        assert result(fakes, "done") == 2
        assert fakes.workers.all["w1"].jobs == {}

    with_region(story, handoffs, dispatcher)


def test_a_worker_that_stays_keeps_its_calls() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        fakes.workers.add("w2", slots=2)
        await fakes.clock.sleep(20.0)
        assert on(fakes, "a") == "w1"

    with_region(story, handoffs, dispatcher)


def test_without_a_free_slot_the_call_stays_and_moves_once_there_is_one() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        fakes.workers.all["w1"].state = "draining"
        await fakes.clock.sleep(20.0)
        assert (on(fakes, "a"), fakes.livekit.attempts("a")) == ("w1", [])
        fakes.workers.add("w2")
        await fakes.until(lambda: on(fakes, "a") == "w2")

    with_region(story, handoffs, dispatcher)


def test_a_waiting_caller_goes_before_a_call_that_is_to_move() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        await fakes.call("new")
        await fakes.clock.sleep(2.0)
        fakes.workers.all["w1"].state = "draining"
        fakes.workers.add("w2")
        await fakes.until(lambda: on(fakes, "new") == "w2")
        await fakes.clock.sleep(10.0)
        assert on(fakes, "a") == "w1"

    with_region(story, handoffs, dispatcher)


def test_the_calls_of_a_worker_that_hangs_move_after_a_while() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        fakes.workers.add("w2")
        fakes.workers.all["w1"].slots = 0  # LiveKit does not offer it calls any more
        fakes.workers.hang("w1")
        took_s = await fakes.until(lambda: on(fakes, "a") == "w2")
        assert took_s > HUNG_AFTER_S

    with_region(story, handoffs, dispatcher)


def test_an_order_for_a_successor_that_livekit_drops_is_made_again() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        fakes.workers.add("w2")
        offer, fakes.livekit.offer = fakes.livekit.offer, None
        fakes.workers.all["w1"].state = "draining"
        await fakes.until(lambda: fakes.livekit.attempts("a") == [1])
        await fakes.clock.sleep(0.5)
        fakes.livekit.offer = offer
        took_s = await fakes.until(lambda: fakes.livekit.attempts("a") == [1, 2])
        assert 0.9 < took_s < 1.6, "1.5 s after the first, at the next look"
        await fakes.until(lambda: on(fakes, "a") == "w2")
        assert result(fakes, "failed") == 0

    with_region(story, handoffs, dispatcher)


def test_a_handoff_that_nobody_takes_fails_and_is_begun_again_later_each_time() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        fakes.workers.add("w2")
        fakes.livekit.offer = None
        fakes.workers.all["w1"].state = "draining"
        pauses_s = []
        for failures in (1, 2, 3):
            await fakes.until(lambda failures=failures: result(fakes, "failed") == failures)  # type: ignore[misc]
            orders = len(fakes.livekit.attempts("a"))
            assert 3 * failures <= orders <= 4 * failures, "one in 1.5 s and a look, for the 6 s of a handoff"
            pauses_s.append(await fakes.until(lambda: fakes.store.redis.handoff("a")))
        assert on(fakes, "a") == "w1"
        assert [round(pause_s) for pause_s in pauses_s] == [1, 2, 4]

    with_region(story, handoffs, dispatcher)


def test_a_call_that_ends_while_it_moves_is_counted_as_ended() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        fakes.workers.add("w2")
        fakes.livekit.offer = None
        fakes.workers.all["w1"].state = "draining"
        await fakes.until(lambda: fakes.store.redis.handoff("a"))
        fakes.livekit.close_room("a")
        await fakes.store.room_finished("a", "")
        await fakes.until(lambda: result(fakes, "ended") == 1)

    with_region(story, handoffs, dispatcher)


def test_before_redis_has_settled_no_handoff_begins() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        fakes.workers.add("w2")
        fakes.store.redis.away = True
        await fakes.clock.sleep(3.0)
        fakes.workers.all["w1"].state = "draining"
        fakes.store.redis.away = False
        took_s = await fakes.until(lambda: fakes.store.redis.handoffs)
        assert took_s >= 2.9, "3 s of good looks"

    with_region(story, handoffs, dispatcher)
