"""The dispatcher's loop on a fake LiveKit, a fake Redis and fake workers: who is served, when, and how often."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import pytest

from support.fake_region import FakeRegion, Run, with_region
from voicefleet.contract.calls import CallOrder, CallRecord, DispatchMetadata
from voicefleet.controller.calls.dispatch import AGENT_THERE_MS, Dispatcher, waiting_fact

pytestmark = pytest.mark.unit


def dispatcher(fakes: FakeRegion) -> Run:
    return Dispatcher(fakes.region).run


def sent(fakes: FakeRegion, room: str = "a") -> int:
    return len(fakes.livekit.attempts(room))


def test_a_waiting_call_is_served_once_a_slot_is_free() -> None:
    async def story(fakes: FakeRegion) -> None:
        await fakes.call("a")
        await fakes.clock.sleep(5.0)
        assert sent(fakes) == 0, "a dispatch without a free slot is dropped by LiveKit, and leaves a leftover"
        fakes.workers.add("w1")
        took_s = await fakes.until(lambda: fakes.holder("a"))
        assert took_s < 1.0, "within a look at the queue and LiveKit's own 0.2 s"
        await fakes.clock.sleep(10.0)
        assert fakes.livekit.attempts("a") == [1], "a served call is not dispatched again"
        assert fakes.metric("voicefleet_dispatches_total", result="sent") == 1

    with_region(story, dispatcher)


def test_a_call_that_waits_has_in_its_log_why_once_for_each_reason() -> None:
    """And so has each dispatch: `voicefleet call show` tells of both when the call is long over."""

    async def story(fakes: FakeRegion) -> None:
        await fakes.call("a")
        await fakes.clock.sleep(5.0)
        fakes.workers.add("w1", slots=1)
        await fakes.until(lambda: fakes.holder("a"))
        await fakes.call("b")
        await fakes.clock.sleep(5.0)
        noted = [(room, fact["e"], fact.get("why") or fact["attempt"]) for room, fact in fakes.store.logs.notes]
        assert noted == [("a", "waiting", "no_worker"), ("a", "dispatched", 1), ("b", "waiting", "full")]
        last = fakes.store.logs.notes[-1][1]
        assert (last["slots"], last["live"]) == (1, 1)

    with_region(story, dispatcher)


def test_the_wait_of_a_call_is_noted_once_and_not_at_each_look() -> None:
    """The script drops what is said twice; yet each look would cost Redis a request for every call that waits."""

    async def story(fakes: FakeRegion) -> None:
        asked = 0
        note = fakes.store.logs.note

        async def counted(rooms: Sequence[str], fact: dict[str, Any], state: str) -> None:
            nonlocal asked
            asked += len(rooms)
            await note(rooms, fact, state)

        fakes.store.logs.note = counted  # type: ignore[method-assign]
        await fakes.call("a")
        await fakes.clock.sleep(30.0)
        assert asked == 1

    with_region(story, dispatcher)


def test_a_slot_whose_caller_left_a_moment_ago_counts_as_taken() -> None:
    """Else a call's log would say that it waits while a pool of 1 slot has 0 calls."""

    async def story(fakes: FakeRegion) -> None:
        fakes.workers.add("w1", slots=1)
        await fakes.call("a")
        await fakes.until(lambda: fakes.holder("a"))
        snapshot = dataclasses.replace(await fakes.region.scans.scan(), calls=())
        await fakes.region.reports.read(0.0)
        assert waiting_fact(fakes.region, snapshot)["live"] == 1

    with_region(story, dispatcher)


def test_a_caller_whom_livekits_own_dispatch_serves_gets_no_second_one() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.workers.add("w1")
        await fakes.call("a")
        await fakes.clock.sleep(5.0)
        assert (fakes.holder("a"), sent(fakes)) == ("J1", 0)

    with_region(story, dispatcher)


def test_a_lost_dispatch_is_made_again_and_more_rarely_after_the_fourth() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.workers.add("w1")
        fakes.livekit.offer = None  # LiveKit drops each, and answers 200
        await fakes.call("a")
        await fakes.until(lambda: sent(fakes))
        pauses_s = []
        for count in range(2, 7):
            pauses_s.append(await fakes.until(functools.partial(lambda least: sent(fakes) >= least, count)))
        wanted_s = [1.5, 1.5, 1.5, 1.5, 3.0]
        assert all(want - 0.1 <= pause <= want + 0.6 for pause, want in zip(pauses_s, wanted_s, strict=True)), pauses_s
        assert fakes.livekit.attempts("a") == [1, 2, 3, 4, 5, 6]

    with_region(story, dispatcher)


def test_while_a_worker_hangs_a_lost_offer_is_repeated_sooner() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.workers.add("w1")
        fakes.workers.add("w2")
        fakes.workers.hang("w1")  # LiveKit asks it first, and it says nothing
        await fakes.clock.sleep(4.0)
        await fakes.call("a")
        await fakes.until(lambda: sent(fakes) == 1)
        assert await fakes.until(lambda: sent(fakes) == 2) < 1.0

    with_region(story, dispatcher)


def test_who_left_without_a_webhook_gets_no_agent() -> None:
    async def story(fakes: FakeRegion) -> None:
        await fakes.call("a")
        await fakes.clock.sleep(2.0)
        fakes.livekit.leave("a")
        fakes.workers.add("w1")
        await fakes.until(lambda: "a" not in fakes.store.redis.callers)
        assert sent(fakes) == 0
        assert fakes.metric("voicefleet_dispatches_total", result="no_caller") == 1

    with_region(story, dispatcher)


def test_an_agent_that_answers_a_probe_keeps_its_caller_though_its_claim_ran_out() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.workers.add("w1")
        await fakes.call("a")
        await fakes.until(lambda: fakes.workers.all["w1"].jobs and fakes.workers.job("a").live)
        fakes.workers.add("w2")
        fakes.workers.job("a").cut_from_redis = True
        await fakes.clock.sleep(40.0)
        assert fakes.holder("a") == "", "the claim ran out after 10 s"
        assert fakes.livekit.agents("a") == ["agent-J1"]
        assert sent(fakes) == 0
        probed = len(fakes.livekit.asked("send_probe"))
        assert 2 <= probed <= 40_000 / AGENT_THERE_MS + 1, "asked again every 3 s, not at every look"

    with_region(story, dispatcher)


def test_a_dead_agent_without_a_claim_is_fenced_removed_and_the_call_served() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.workers.add("w1")
        await fakes.call("a")
        await fakes.until(lambda: fakes.workers.all["w1"].jobs and fakes.workers.job("a").live)
        fakes.workers.add("w2")
        fakes.workers.stall("a")
        await fakes.until(lambda: fakes.holder("a") == "")
        await fakes.until(lambda: fakes.holder("a"))
        assert "J1" in fakes.store.redis.fenced["a"]
        names = [name for name, *_ in fakes.livekit.requests]
        assert names.index("remove_participant") < names.index("create_dispatch"), "never two agents at once"
        assert fakes.metric("voicefleet_calls_recovered_total", reason="no_claim") == 1

    with_region(story, dispatcher)


def test_the_order_says_what_the_call_was_placed_with() -> None:
    async def story(fakes: FakeRegion) -> None:
        await fakes.store.save_record(CallRecord("a", "eu", CallOrder("fast", "order 7", traceparent="00-ab")))
        await fakes.call("a")
        first = DispatchMetadata(CallOrder("own", "a front end's own token")).encode()
        fakes.livekit.join("b", dispatch=first)
        await fakes.store.caller_joined("b")
        await fakes.clock.sleep(1.0)
        fakes.workers.add("w1", slots=2)
        await fakes.until(lambda: sent(fakes, "a") and sent(fakes, "b"))
        told = [DispatchMetadata.decode(fakes.livekit.rooms[room].dispatches[-1]) for room in ("a", "b")]
        assert told[0] == DispatchMetadata(CallOrder("fast", "order 7", traceparent="00-ab"), 1)
        assert told[1] == DispatchMetadata(CallOrder("own", "a front end's own token"), 1)

    with_region(story, dispatcher)


def test_no_more_calls_are_dispatched_than_slots_are_free_the_longest_waiting_first() -> None:
    async def story(fakes: FakeRegion) -> None:
        for room in ("a", "b", "c"):
            await fakes.call(room)
            await fakes.clock.sleep(0.1)
        await fakes.clock.sleep(2.0)
        fakes.workers.add("w1", slots=2)
        await fakes.until(lambda: fakes.holder("a") and fakes.holder("b"))
        await fakes.clock.sleep(5.0)
        assert [sent(fakes, room) for room in ("a", "b", "c")] == [1, 1, 0]

    with_region(story, dispatcher)


def test_a_livekit_that_does_not_answer_for_one_call_does_not_hold_up_the_others() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.broken.add("a")
        await fakes.call("a")
        await fakes.call("b")
        await fakes.clock.sleep(2.0)
        fakes.workers.add("w1", slots=2)
        await fakes.until(lambda: fakes.holder("b"))
        await fakes.clock.sleep(9.5)
        failed = fakes.metric("voicefleet_dispatches_total", result="failed")
        assert 8 <= failed <= 11, "tried again every second, not after the time of a lost dispatch"
        fakes.livekit.broken.clear()
        await fakes.until(lambda: fakes.holder("a"), 5.0)

    with_region(story, dispatcher)


def test_a_redis_that_is_away_is_said_once_and_the_loop_goes_on() -> None:
    async def story(fakes: FakeRegion) -> None:
        await fakes.call("a")
        await fakes.clock.sleep(2.0)
        fakes.store.redis.away = True
        await fakes.until(lambda: "queue" in fakes.region.reads.troubles)
        fakes.workers.add("w1")
        fakes.store.redis.away = False
        await fakes.until(lambda: fakes.holder("a"))
        assert fakes.region.reads.troubles == {}

    with_region(story, dispatcher)


def test_a_change_wakes_the_loop_at_once() -> None:
    async def story(fakes: FakeRegion) -> None:
        await fakes.call("a")
        await fakes.clock.sleep(2.0)
        fakes.workers.add("w1")
        fakes.region.note_change()
        assert await fakes.until(lambda: sent(fakes)) < 0.1

    with_region(story, dispatcher)


def test_a_call_that_waits_again_is_counted_from_the_beginning() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.workers.add("w1")
        offer, fakes.livekit.offer = fakes.livekit.offer, None
        await fakes.call("a")
        await fakes.until(lambda: sent(fakes) == 3)
        fakes.livekit.offer = offer
        await fakes.until(lambda: fakes.holder("a"))
        await fakes.clock.sleep(2.0)
        fakes.livekit.leave("a", fakes.workers.job("a").identity)  # its agent ends, and gives the claim back
        await fakes.until(lambda: fakes.holder("a") not in ("", "J1"))
        assert fakes.livekit.attempts("a")[-1] == 1

    with_region(story, dispatcher)
