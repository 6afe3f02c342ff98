"""Rooms that the controller did not make: whose callers are served, and when an agent comes before the caller."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from support.fake_region import FakeRegion, Run, with_region
from voicefleet.contract.calls import CallOrder, CallRecord, DispatchMetadata
from voicefleet.controller.calls.agent_requests import request_agent
from voicefleet.controller.calls.dispatch import Dispatcher
from voicefleet.controller.rooms.listing import RoomLister

pytestmark = pytest.mark.unit

EVERY_S = 2.0


def lister(fakes: FakeRegion) -> Run:
    return RoomLister(fakes.region, fakes.joins, every_s=EVERY_S, max_duration_s=0.0).run


def dispatcher(fakes: FakeRegion) -> Run:
    return Dispatcher(fakes.region).run


def callers(fakes: FakeRegion) -> set[str]:
    return set(fakes.store.redis.callers)


def last_order(fakes: FakeRegion, room: str) -> CallOrder:
    return DispatchMetadata.decode(fakes.livekit.rooms[room].dispatches[-1]).order


def test_a_room_made_beforehand_whose_metadata_name_our_agent_is_served_with_its_order() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.open("made").order = CallOrder("fast", "order 7")
        fakes.workers.add("w1")
        await fakes.clock.sleep(10.0)
        assert callers(fakes) == set(), "an order in the metadata is for a caller that comes"
        fakes.livekit.join("made")
        assert await fakes.until(lambda: fakes.holder("made")) <= EVERY_S + 2.0
        assert last_order(fakes, "made") == CallOrder("fast", "order 7")
        await fakes.clock.sleep(10.0)
        assert len(fakes.livekit.agents("made")) == 1

    with_region(story, lister, dispatcher)


def test_metadata_that_come_later_are_seen_at_the_next_listing() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.join("made", dispatch=None)
        await fakes.clock.sleep(5.0)
        assert callers(fakes) == set()
        fakes.livekit.rooms["made"].order = CallOrder()
        assert await fakes.until(lambda: callers(fakes)) <= EVERY_S + 0.1

    with_region(story, lister)


def test_a_caller_with_our_ticket_is_ours_though_redis_lost_its_record_and_livekit_its_dispatch() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.open("made")
        fakes.livekit.join("made", key="front")
        await fakes.until(lambda: callers(fakes))

    with_region(story, lister)


def test_rooms_with_a_prefix_are_served_and_others_left_alone() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.join("support-1", dispatch=None)
        fakes.livekit.join("meeting", dispatch=None)
        fakes.workers.add("w1")
        await fakes.until(lambda: fakes.holder("support-1"))
        await fakes.clock.sleep(20.0)
        assert fakes.livekit.agents("meeting") == []

    with_region(story, lister, dispatcher, rooms="support-*")


def test_a_dispatch_into_an_empty_room_that_livekit_dropped_is_served_once_a_slot_is_free() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.open("outbound", dispatch="dial 1")  # no worker: dropped, and answered 200
        await fakes.until(lambda: callers(fakes) == {"outbound"})
        await fakes.clock.sleep(10.0)
        (call,) = fakes.region.scans.snapshot.calls  # type: ignore[union-attr]
        assert call.state == "waiting", "counted, and shown"
        fakes.workers.add("w1")
        assert await fakes.until(lambda: fakes.holder("outbound")) < 1.5
        assert last_order(fakes, "outbound").metadata == "dial 1"
        await fakes.clock.sleep(30.0)
        assert fakes.livekit.attempts("outbound") == [1], "served once"

    with_region(story, lister, dispatcher)


def test_no_agent_is_sent_where_the_caller_just_left() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.join("a")  # its token ordered an agent; there is no worker
        await fakes.until(lambda: "a" in callers(fakes))
        fakes.livekit.leave("a")
        await fakes.until(lambda: "a" not in callers(fakes))
        fakes.workers.add("w1")
        await fakes.clock.sleep(30.0)
        assert fakes.livekit.attempts("a") == []
        # A new dispatch is a new order.
        fakes.livekit.offer = None
        await fakes.livekit.create_dispatch("a", "again")
        await fakes.until(lambda: fakes.livekit.attempts("a"))

    with_region(story, lister, dispatcher)


def test_a_caller_that_came_to_an_expected_call_and_left_ends_it() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.open("a", dispatch="dial 1")
        await fakes.until(lambda: "a" in callers(fakes))
        fakes.livekit.join("a")
        await fakes.until(lambda: not fakes.store.redis.expected)
        fakes.livekit.leave("a")
        await fakes.until(lambda: "a" not in callers(fakes))
        fakes.workers.add("w1")
        await fakes.clock.sleep(30.0)
        assert fakes.livekit.agents("a") == []

    with_region(story, lister, dispatcher)


def test_a_dispatch_that_a_worker_took_is_not_expected_again() -> None:
    async def story(fakes: FakeRegion) -> None:
        room = fakes.livekit.open("a")
        room.dispatches.append("dial 1")
        room.assigned = True  # the agent was there, nobody came, and it left
        fakes.workers.add("w1")
        await fakes.clock.sleep(30.0)
        assert callers(fakes) == set()
        assert fakes.livekit.agents("a") == []

    with_region(story, lister, dispatcher)


def test_a_ticket_whose_caller_is_not_there_expects_nobody() -> None:
    async def story(fakes: FakeRegion) -> None:
        await fakes.store.save_record(CallRecord("a", "eu", key="front"))
        fakes.livekit.open("a", dispatch="")
        # Redis lost this one's record.
        fakes.livekit.open("b", dispatch=DispatchMetadata(caller="ann").encode())
        await fakes.clock.sleep(30.0)
        assert callers(fakes) == set()

    with_region(story, lister)


def test_a_room_in_which_a_listing_saw_a_caller_expects_nobody_though_redis_forgot_it() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.join("a")
        await fakes.until(lambda: callers(fakes))
        fakes.store.redis.callers.clear()
        fakes.store.redis.left.clear()
        fakes.livekit.leave("a")
        await fakes.clock.sleep(30.0)
        assert callers(fakes) == set()

    with_region(story, lister)


def test_an_agent_is_requested_for_a_room_with_a_caller_and_for_one_without() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.join("a", dispatch=None)
        fakes.livekit.open("b")
        for room in "a", "b":
            assert await request_agent(fakes.region, room, CallOrder("fast", "order 7")) == "requested"
        assert callers(fakes) == {"a", "b"}
        assert fakes.store.redis.expected == {"b"}
        fakes.workers.add("w1", slots=2)
        for room in "a", "b":
            await fakes.until(lambda room=room: fakes.holder(room))  # type: ignore[misc]
            assert last_order(fakes, room) == CallOrder("fast", "order 7")
        claimed = await request_agent(fakes.region, "a", CallOrder())
        assert claimed in ("accepted", "live")
        await fakes.clock.sleep(5.0)
        assert [len(fakes.livekit.agents(room)) for room in ("a", "b")] == [1, 1]

    with_region(story, lister, dispatcher)


def test_a_request_changes_of_a_recorded_order_what_it_names() -> None:
    async def story(fakes: FakeRegion) -> None:
        await fakes.store.save_record(CallRecord("a", "eu", CallOrder("fast", "order 7"), key="front"))
        fakes.livekit.join("a", dispatch=None)
        await request_agent(fakes.region, "a", CallOrder(tier="best"))
        assert last_order(fakes, "a") == CallOrder("best", "order 7")
        assert fakes.store.redis.records["a"].order == CallOrder("best", "order 7")

    with_region(story)


def test_a_participant_that_is_no_caller_does_not_make_a_room_ours() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.join("meeting", dispatch=None)
        there = fakes.livekit.rooms["meeting"].there
        there["ann"] = replace(there["ann"], caller=False, key="front")
        assert not await cast(Any, fakes.region).ours("meeting", there.values())

    with_region(story)
