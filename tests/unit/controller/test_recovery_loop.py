"""Recovery's loop on fakes: whose call is taken away, whose is not, and in which order."""

from __future__ import annotations

import functools

import pytest

from support.fake_region import FakeRegion, Run, with_region
from voicefleet.contract.claims import TROUBLE_MOVES, TROUBLE_PAUSE_MS
from voicefleet.controller.calls.dispatch import Dispatcher
from voicefleet.controller.calls.recovery import HELD_BACK_S, LEFT_ALONE_S, Recovery

pytestmark = pytest.mark.unit


def recovery(fakes: FakeRegion) -> Run:
    return Recovery(fakes.region).run


def dispatcher(fakes: FakeRegion) -> Run:
    return Dispatcher(fakes.region).run


async def served(fakes: FakeRegion, *rooms: str) -> None:
    """Each room's call is live on a worker of its own, another worker is free, and Redis has settled."""
    for number, room in enumerate(rooms, 1):
        worker = fakes.workers.add(f"w{number}")
        await fakes.call(room)
        await fakes.until(functools.partial(worker.jobs.get, room))
    fakes.workers.add("free", slots=len(rooms))
    await fakes.clock.sleep(6.0)
    assert all(fakes.workers.job(room).live for room in rooms)


def recovered(fakes: FakeRegion, reason: str) -> float:
    return fakes.metric("voicefleet_calls_recovered_total", reason=reason)


def test_a_job_that_is_well_is_left_alone_and_not_even_asked() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        await fakes.clock.sleep(60.0)
        assert fakes.holder("a") == "J1"
        assert fakes.livekit.asked("send_probe") == []

    with_region(story, recovery, dispatcher)


def test_a_job_that_its_worker_does_not_list_any_more_is_dead_at_once() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        fakes.workers.kill("a", agent_stays=True)
        took_s = await fakes.until(lambda: fakes.holder("a") not in ("", "J1"))
        assert took_s < 1.5
        assert recovered(fakes, "job_ended") == 1
        assert fakes.livekit.asked("send_probe") == [], "the worker's word is enough"

    with_region(story, recovery, dispatcher)


def test_the_agent_is_out_of_the_room_before_its_claim_is_freed() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        fakes.region.wake.clear()
        fakes.livekit.refused.add("remove_participant")
        fakes.workers.kill("a", agent_stays=True)
        await fakes.until(lambda: fakes.livekit.asked("remove_participant"))
        await fakes.clock.sleep(1.0)
        assert fakes.holder("a") == "J1"
        fakes.livekit.refused.clear()
        await fakes.until(lambda: fakes.holder("a") == "")
        assert fakes.livekit.agents("a") == []
        assert fakes.store.redis.fenced["a"] == {"J1"}
        assert fakes.store.redis.waiting["a"] < 0, "at the head of the queue"
        assert fakes.region.wake.is_set(), "the dispatcher is woken"

    with_region(story, recovery)


def test_a_stalled_job_is_asked_and_then_replaced() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        fakes.workers.stall("a")
        took_s = await fakes.until(lambda: fakes.holder("a") not in ("", "J1"))
        assert 2.5 < took_s < 5.5, "two renewals that did not come, then the probe's 1.2 s"
        assert recovered(fakes, "not_renewed") == 1
        await fakes.clock.sleep(1.0)
        assert fakes.livekit.agents("a") == [fakes.workers.job("a").identity]

    with_region(story, recovery, dispatcher)


def test_a_job_cut_off_from_redis_that_answers_keeps_its_call_and_is_asked_every_three_seconds() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        fakes.workers.job("a").cut_from_redis = True
        fakes.store.redis.listening.clear()
        await fakes.clock.sleep(9.0)
        assert fakes.holder("a") == "J1"
        assert fakes.livekit.agents("a") == ["agent-J1"]
        asked = fakes.metric("voicefleet_probes_total", result="answered")
        assert 2 <= asked <= 9.0 / LEFT_ALONE_S + 1

    with_region(story, recovery)


def test_a_claim_renewed_while_its_agent_was_asked_stands() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        job = fakes.workers.stall("a")
        await fakes.until(lambda: fakes.livekit.asked("send_probe"))
        job.stalled = False  # it wakes, and renews; its answer to the probe does not come
        await fakes.clock.sleep(3.0)
        assert fakes.holder("a") == "J1"
        assert fakes.livekit.asked("remove_participant") == []

    with_region(story, recovery)


def test_a_job_in_trouble_that_does_not_answer_is_replaced_and_livekit_distrusted() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        job = fakes.workers.job("a")
        job.trouble = "no media"
        fakes.livekit.mute.add(job.identity)
        await fakes.until(lambda: fakes.holder("a") not in ("", "J1"))
        assert recovered(fakes, "trouble") == 1
        assert fakes.region.dispatch_unreliable()

    with_region(story, recovery, dispatcher)


def test_the_calls_of_a_worker_whose_process_ended_are_freed_though_redis_has_not_settled() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        fakes.store.redis.server = "life-2"
        await fakes.clock.sleep(0.6)
        assert not fakes.region.redis.settled(fakes.clock.monotonic())
        fakes.workers.kill("a", agent_stays=False)
        fakes.region.pool = fakes.region.pool.with_departed("w1", fakes.clock.monotonic())
        assert await fakes.until(lambda: fakes.holder("a") == "") < 1.0
        assert recovered(fakes, "worker_ended") == 1

    with_region(story, recovery)


def test_after_redis_became_another_one_nothing_is_judged_until_it_has_settled() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        fakes.store.redis.server = "life-2"
        await fakes.clock.sleep(0.6)
        fakes.workers.kill("a", agent_stays=True)
        assert 1.5 < await fakes.until(lambda: fakes.holder("a") == "") < 4.0

    with_region(story, recovery)


def test_when_most_workers_are_suspect_at_once_the_fault_may_be_ours_and_nobody_is_asked_at_first() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a", "b", "c")
        for room in ("a", "b"):
            fakes.store.redis.listening.discard(fakes.workers.stall(room).name)
        began_s = fakes.clock.monotonic()
        await fakes.until(lambda: fakes.livekit.asked("send_probe"))
        assert fakes.clock.monotonic() - began_s > HELD_BACK_S
        await fakes.until(lambda: fakes.holder("a") not in ("", "J1") and fakes.holder("b") not in ("", "J2"))
        assert fakes.holder("c") == "J3"

    with_region(story, recovery, dispatcher)


def test_a_livekit_that_does_not_answer_frees_nothing() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        fakes.livekit.away = True
        fakes.workers.stall("a")
        await fakes.clock.sleep(8.0)
        assert fakes.holder("a") == "J1"
        assert recovered(fakes, "not_renewed") == 0

    with_region(story, recovery)


def test_an_agent_whose_caller_is_gone_is_not_replaced() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        fakes.workers.stall("a")
        fakes.livekit.leave("a")
        await fakes.clock.sleep(8.0)
        assert recovered(fakes, "not_renewed") == 0
        assert fakes.metric("voicefleet_probes_total", result="no_caller") >= 1

    with_region(story, recovery)


@pytest.mark.parametrize("trouble", ["deaf", "mute"])
def test_a_job_that_is_deaf_or_mute_is_replaced_without_being_asked(trouble: str) -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a", "b")
        fakes.workers.job("a").trouble = trouble
        took_s = await fakes.until(lambda: fakes.holder("a") not in ("", "J1"))
        assert took_s < 3.0
        assert recovered(fakes, trouble) == 1
        assert fakes.livekit.asked("send_probe") == [], "it lives, and says so"
        await fakes.clock.sleep(1.0)
        assert fakes.livekit.agents("a") == [fakes.workers.job("a").identity]
        assert fakes.holder("b") == "J2"

    with_region(story, recovery, dispatcher)


def test_a_caller_whose_own_microphone_is_broken_is_moved_twice_and_then_left_alone() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        moved_s: list[float] = []
        holder = fakes.holder("a")
        for _ in range(600):
            fakes.workers.job("a").trouble = "deaf"
            await fakes.clock.sleep(0.2)
            if fakes.holder("a") not in ("", holder):
                holder = fakes.holder("a")
                moved_s.append(fakes.clock.monotonic())
        assert len(moved_s) == TROUBLE_MOVES
        assert moved_s[1] - moved_s[0] >= TROUBLE_PAUSE_MS / 1000
        assert fakes.livekit.agents("a") == [fakes.workers.job("a").identity]

    with_region(story, recovery, dispatcher)


def test_a_job_that_hears_again_keeps_its_call() -> None:
    async def story(fakes: FakeRegion) -> None:
        await served(fakes, "a")
        fakes.livekit.refused.add("remove_participant")
        fakes.workers.job("a").trouble = "deaf"
        await fakes.until(lambda: fakes.livekit.asked("remove_participant"))
        fakes.workers.job("a").trouble = ""
        await fakes.clock.sleep(2.5)
        fakes.livekit.refused.clear()
        await fakes.clock.sleep(10.0)
        assert fakes.holder("a") == "J1"

    with_region(story, recovery, dispatcher)
