"""The listing's loop on fakes: callers found and lost without webhooks, rooms of others, what cannot be listed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.fake_livekit import EPOCH_MS
from support.fake_region import FakeRegion, Run, with_region
from voicefleet.contract.calls import CallRecord
from voicefleet.controller.rooms.listing import ROOMS_A_TURN, RoomLister
from voicefleet.controller.rooms.rotation import FOREIGN_S

pytestmark = pytest.mark.unit

EVERY_S = 5.0


def lister(fakes: FakeRegion) -> Run:
    return RoomLister(fakes.region, fakes.joins, every_s=EVERY_S, max_duration_s=0.0).run


def bounded(fakes: FakeRegion) -> Run:
    return RoomLister(fakes.region, fakes.joins, every_s=EVERY_S, max_duration_s=20.0).run


def callers(fakes: FakeRegion) -> set[str]:
    return set(fakes.store.redis.callers)


def test_a_caller_without_a_webhook_is_found_with_the_time_it_joined_at() -> None:
    async def story(fakes: FakeRegion) -> None:
        await fakes.clock.sleep(7.0)
        fakes.livekit.join("a")
        assert await fakes.until(lambda: "a" in callers(fakes)) <= EVERY_S + 0.1
        assert fakes.store.redis.callers["a"] == EPOCH_MS + 7_000

    with_region(story, lister)


def test_where_livekits_clock_is_behind_a_caller_joined_after_the_listing_that_did_not_show_it() -> None:
    async def story(fakes: FakeRegion) -> None:
        await fakes.clock.sleep(7.0)
        fakes.livekit.join("a")
        there = fakes.livekit.rooms["a"].there
        there["ann"] = replace(there["ann"], joined_ms=1)
        await fakes.until(lambda: "a" in callers(fakes))
        assert fakes.store.redis.callers["a"] >= EPOCH_MS + 4_000, "the last listing without it began at 5 s"

    with_region(story, lister)


def test_a_caller_who_left_without_a_webhook_is_taken_out() -> None:
    async def story(fakes: FakeRegion) -> None:
        await fakes.call("a")
        await fakes.clock.sleep(1.0)
        fakes.livekit.leave("a")
        assert await fakes.until(lambda: not callers(fakes)) <= EVERY_S + 0.1

    with_region(story, lister)


def test_a_room_that_is_gone_takes_its_call_and_soon_its_conversation() -> None:
    async def story(fakes: FakeRegion) -> None:
        await fakes.call("a")
        await fakes.clock.sleep(1.0)
        fakes.livekit.close_room("a")
        await fakes.until(lambda: not callers(fakes))
        assert fakes.store.redis.shortened == ["a"]

    with_region(story, lister)


def test_a_caller_who_joined_while_the_rooms_were_listed_stays() -> None:
    async def story(fakes: FakeRegion) -> None:
        await fakes.clock.sleep(EVERY_S - 0.1)
        fakes.livekit.latency_s = 0.5
        await fakes.clock.sleep(0.3)  # the listing is under way, and will not show the next one
        await fakes.store.caller_joined("late")
        await fakes.clock.sleep(1.0)
        assert "late" in callers(fakes)

    with_region(story, lister)


def test_a_room_of_somebody_elses_is_no_call_until_an_agent_is_ordered_for_it() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.join("meeting", dispatch=None)
        await fakes.clock.sleep(30.0)
        assert callers(fakes) == set()
        looks = len([a for a in fakes.livekit.asked("list_participants") if a == ["meeting"]])
        assert looks <= 30.0 / FOREIGN_S + 1, "looked at again after FOREIGN_S, not in every listing"
        fakes.livekit.rooms["meeting"].dispatches.append("")
        took_s = await fakes.until(lambda: "meeting" in callers(fakes))
        assert took_s <= FOREIGN_S + EVERY_S + 0.1

    with_region(story, lister)


def test_one_room_that_cannot_be_listed_keeps_its_call_and_the_rest_counts_as_listed() -> None:
    async def story(fakes: FakeRegion) -> None:
        for room in ("a", "b"):
            await fakes.call(room)
        fakes.livekit.broken.add("a")
        fakes.livekit.leave("a")
        fakes.livekit.leave("b")
        await fakes.until(lambda: "b" not in callers(fakes))
        assert callers(fakes) == {"a"}
        assert fakes.region.fresh_snapshot() is not None
        assert fakes.metric("voicefleet_rooms_unknown") == 1

    with_region(story, lister)


def test_when_most_rooms_cannot_be_listed_the_region_is_unknown_not_empty() -> None:
    async def story(fakes: FakeRegion) -> None:
        rooms = [f"r{number}" for number in range(8)]
        for room in rooms:
            await fakes.call(room)
        await fakes.clock.sleep(1.0)
        assert fakes.region.fresh_snapshot() is not None
        fakes.livekit.broken.update(rooms)
        await fakes.clock.sleep(20.0)
        assert fakes.region.fresh_snapshot() is None
        assert callers(fakes) == set(rooms)
        assert "listing" in fakes.region.reads.troubles

    with_region(story, lister)


def test_a_livekit_that_is_away_takes_nobody_out_and_is_known_again_later() -> None:
    async def story(fakes: FakeRegion) -> None:
        await fakes.call("a")
        fakes.livekit.away = True
        await fakes.clock.sleep(20.0)
        assert (callers(fakes), fakes.region.fresh_snapshot()) == ({"a"}, None)
        fakes.livekit.away = False
        await fakes.until(lambda: fakes.region.reads.troubles == {})
        assert fakes.region.fresh_snapshot() is not None

    with_region(story, lister)


def test_more_rooms_than_a_turn_may_look_at_are_all_found_in_the_next_ones() -> None:
    async def story(fakes: FakeRegion) -> None:
        for number in range(ROOMS_A_TURN + 50):
            fakes.livekit.join(f"r{number}")
        await fakes.until(lambda: len(callers(fakes)) == ROOMS_A_TURN)
        assert fakes.region.fresh_snapshot() is None, "some were never looked at"
        await fakes.until(lambda: len(callers(fakes)) == ROOMS_A_TURN + 50)
        await fakes.until(lambda: fakes.region.fresh_snapshot() is not None)
        assert fakes.livekit.most_at_once <= 32

    with_region(story, lister)


def test_a_room_whose_call_a_job_holds_is_not_looked_at() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.workers.add("w1")
        await fakes.call("a")
        await fakes.until(lambda: fakes.holder("a"))
        before = len(fakes.livekit.asked("list_participants"))
        await fakes.clock.sleep(30.0)
        assert len(fakes.livekit.asked("list_participants")) == before

    with_region(story, lister)


def test_a_call_is_ended_at_its_longest_duration_and_one_without_a_bound_is_not() -> None:
    async def story(fakes: FakeRegion) -> None:
        await fakes.store.save_record(CallRecord("short", "eu", max_duration_s=8.0))
        await fakes.store.save_record(CallRecord("open", "eu", max_duration_s=0.0))
        for room in ("short", "open", "foreign"):
            await fakes.call(room)
        took_s = await fakes.until(lambda: "short" not in fakes.livekit.rooms)
        assert 8.0 < took_s <= 8.0 + EVERY_S + 0.1
        took_s += await fakes.until(lambda: "foreign" not in fakes.livekit.rooms)
        assert 20.0 < took_s <= 20.0 + EVERY_S + 0.1
        await fakes.clock.sleep(60.0)
        assert "open" in fakes.livekit.rooms

    with_region(story, bounded)


def test_a_found_caller_is_counted_for_the_key_of_its_ticket_and_gets_a_record() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.join("a", key="front")
        await fakes.until(lambda: "a" in fakes.store.redis.records)
        assert fakes.limiter.calls == {"front": {"a"}}
        assert fakes.store.redis.records["a"].key == "front"

    with_region(story, lister)


def test_a_room_of_the_same_name_is_counted_anew() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.join("a", key="front")
        await fakes.until(lambda: fakes.limiter.calls)
        fakes.limiter.calls.clear()
        fakes.livekit.close_room("a")
        fakes.livekit.join("a", key="front")
        await fakes.until(lambda: fakes.limiter.calls == {"front": {"a"}})

    with_region(story, lister)


def test_a_room_opened_again_after_its_call_was_ended_is_closed() -> None:
    async def story(fakes: FakeRegion) -> None:
        await fakes.store.mark_ended("a")
        fakes.livekit.join("a", key="front")
        await fakes.until(lambda: "a" not in fakes.livekit.rooms)
        assert fakes.metric("voicefleet_joins_refused_total", reason="ended") == 1

    with_region(story, lister)


def test_a_call_above_the_limit_of_its_key_is_closed() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.limiter.most = 1
        fakes.livekit.join("a", key="front")
        await fakes.until(lambda: fakes.limiter.calls)
        fakes.livekit.join("b", key="front")
        await fakes.until(lambda: "b" not in fakes.livekit.rooms)
        assert "a" in fakes.livekit.rooms
        assert fakes.metric("voicefleet_joins_refused_total", reason="over_limit") == 1

    with_region(story, lister)


def test_a_region_that_is_listed_seldom_is_known_in_between_and_outlasts_one_failure() -> None:
    every_s = 30.0

    async def known_after(fakes: FakeRegion, wait_s: float) -> bool:
        await fakes.clock.sleep(wait_s)
        await fakes.region.scans.scan()  # as the dispatcher does all the time
        return fakes.region.fresh_snapshot() is not None

    async def story(fakes: FakeRegion) -> None:
        assert await known_after(fakes, every_s - 1.0)
        fakes.livekit.away = True
        assert await known_after(fakes, every_s), "one listing failed"
        assert not await known_after(fakes, every_s), "two listings failed"

    def seldom(fakes: FakeRegion) -> Run:
        return RoomLister(fakes.region, fakes.joins, every_s=every_s, max_duration_s=0.0).run

    with_region(story, seldom)
