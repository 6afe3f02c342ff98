"""Calls that want no agent: released on purpose, or served by an agent of the team's own. Nobody is sent there."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, cast

import pytest
from aiohttp import web

from support.fake_livekit import sign
from support.fake_region import FakeRegion, Run, with_region
from support.http_requests import request
from voicefleet.contract.aside import Aside, Why
from voicefleet.contract.calls import CallOrder
from voicefleet.controller.calls.agent_requests import request_agent
from voicefleet.controller.calls.dispatch import Dispatcher
from voicefleet.controller.calls.recovery import Recovery
from voicefleet.controller.calls.redis_outage import OutageDispatcher
from voicefleet.controller.calls.snapshots import Call
from voicefleet.controller.ports import WebhookEvent
from voicefleet.controller.rooms.listing import RoomLister
from voicefleet.controller.rooms.webhooks import Webhooks
from voicefleet.controller.waiting_message.decide import due, follow

pytestmark = pytest.mark.unit


def dispatcher(fakes: FakeRegion) -> Run:
    return Dispatcher(fakes.region).run


def lister(fakes: FakeRegion) -> Run:
    return RoomLister(fakes.region, fakes.joins, every_s=5.0, max_duration_s=60.0).run


def recovery(fakes: FakeRegion) -> Run:
    return Recovery(fakes.region).run


def outage(fakes: FakeRegion) -> Run:
    return OutageDispatcher(fakes.region).run


def state(fakes: FakeRegion, room: str = "a") -> str:
    snapshot = fakes.region.scans.snapshot
    return next((call.state for call in snapshot.calls if call.room == room), "") if snapshot else ""


async def live(fakes: FakeRegion, room: str = "a") -> None:
    await fakes.until(lambda: room in fakes.workers.all["w1"].jobs and fakes.workers.job(room).live)


async def released(fakes: FakeRegion) -> None:
    """A call with an agent, which leaves on purpose; the caller stays."""
    fakes.workers.add("w1", slots=4)
    await fakes.call("a")
    await live(fakes)
    await fakes.workers.release("a")
    await fakes.until(lambda: state(fakes) == "released")


def test_nobody_is_sent_where_an_agent_left_on_purpose_however_long_the_caller_stays() -> None:
    async def story(fakes: FakeRegion) -> None:
        await released(fakes)
        await fakes.clock.sleep(1_800.0)
        assert state(fakes) == "released"
        assert fakes.livekit.attempts("a") == []
        assert fakes.livekit.agents("a") == []
        assert "a" in fakes.livekit.rooms, "the longest duration is of a call with an agent"
        snapshot = fakes.region.scans.snapshot
        assert snapshot is not None
        assert (snapshot.waiting, snapshot.live, snapshot.joining, snapshot.set_aside) == (0, 0, 0, 1)

    with_region(story, dispatcher)


def test_the_longest_duration_ends_no_released_call() -> None:
    async def story(fakes: FakeRegion) -> None:
        await released(fakes)
        await fakes.clock.sleep(200.0)
        assert "a" in fakes.livekit.rooms

    with_region(story, dispatcher, lister)


def test_a_dispatch_of_ours_that_comes_late_is_refused_and_one_of_the_teams_brings_an_agent() -> None:
    async def story(fakes: FakeRegion) -> None:
        await released(fakes)
        await fakes.livekit.create_dispatch("a", '{"v":1,"attempt":1}')
        await fakes.clock.sleep(5.0)
        assert fakes.livekit.agents("a") == []
        await fakes.livekit.create_dispatch("a", "of the team")
        await fakes.until(lambda: fakes.livekit.agents("a"))
        await fakes.until(lambda: state(fakes) == "live")

    with_region(story, dispatcher)


def test_who_asks_for_an_agent_gets_one_at_once() -> None:
    async def story(fakes: FakeRegion) -> None:
        await released(fakes)
        assert await request_agent(fakes.region, "a", CallOrder()) == "requested"
        assert await fakes.until(lambda: fakes.livekit.agents("a")) < 1.0
        await live(fakes)
        assert await request_agent(fakes.region, "a", CallOrder()) == "live"

    with_region(story, dispatcher)


def test_a_team_that_dispatches_while_the_fleet_is_full_gets_its_agent_later() -> None:
    async def story(fakes: FakeRegion) -> None:
        await released(fakes)
        fakes.livekit.offer, offer = None, fakes.livekit.offer
        await fakes.clock.sleep(5.0)
        await fakes.livekit.create_dispatch("a", "of the team")  # LiveKit drops it, and answers 200
        await fakes.until(lambda: state(fakes) == "waiting")
        fakes.livekit.offer = offer
        await fakes.until(lambda: fakes.livekit.agents("a"))

    with_region(story, dispatcher, lister)


def test_another_room_of_the_same_name_is_another_call() -> None:
    async def story(fakes: FakeRegion) -> None:
        await released(fakes)
        fakes.livekit.offer, offer = None, fakes.livekit.offer
        fakes.livekit.close_room("a")  # and no webhook says so
        fakes.livekit.join("a", "bob")
        await fakes.until(lambda: state(fakes) == "waiting")
        fakes.livekit.offer = offer
        await fakes.until(lambda: fakes.livekit.agents("a"))

    with_region(story, dispatcher, lister)


def test_the_end_of_the_room_forgets_it() -> None:
    async def story(fakes: FakeRegion) -> None:
        await released(fakes)
        sid = fakes.livekit.close_room("a")
        await fakes.store.room_finished("a", sid)
        assert fakes.store.redis.asides == {}

    with_region(story, dispatcher)


def test_a_caller_who_comes_back_to_a_released_call_finds_it_released() -> None:
    async def story(fakes: FakeRegion) -> None:
        await released(fakes)
        fakes.livekit.leave("a")
        await fakes.store.caller_left("a")
        await fakes.until(lambda: state(fakes) == "")
        await fakes.clock.sleep(3.0)
        fakes.livekit.join("a")
        await fakes.store.caller_joined("a", fakes.livekit.rooms["a"].sid)
        await fakes.clock.sleep(10.0)
        assert state(fakes) == "released"
        assert fakes.livekit.agents("a") == []

    with_region(story, dispatcher)


def test_an_agent_that_the_controller_removes_does_not_release_its_call() -> None:
    """Recovery takes it from a job that lives; the job's end looks to it as if the team had removed its agent."""

    async def story(fakes: FakeRegion) -> None:
        fakes.workers.add("w1")
        await fakes.call("a")
        await live(fakes)
        job = fakes.workers.job("a")
        await fakes.store.mark_removing("a", job.name)
        assert not await fakes.store.claims.release("a", job=job.name, released="agent_removed", room_sid=job.sid)
        assert fakes.store.redis.aside("a") is None

    with_region(story)


def test_recovery_says_that_it_removes_the_agent_before_it_does() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.workers.add("w1")
        await fakes.call("a")
        await live(fakes)
        fakes.workers.add("w2")
        fakes.workers.stall("a")
        await fakes.until(lambda: fakes.livekit.asked("remove_participant"))
        assert fakes.store.redis.removing == {"a": "J1"}

    with_region(story, dispatcher, recovery)


def test_an_outage_of_redis_brings_no_agent_back() -> None:
    async def story(fakes: FakeRegion) -> None:
        await released(fakes)
        fakes.store.redis.away = True
        await fakes.clock.sleep(60.0)
        assert fakes.livekit.agents("a") == []

    with_region(story, dispatcher, outage)


def test_no_waiting_message_is_spoken_into_a_call_that_wants_no_agent() -> None:
    call = Call("a", 1_000, None, None, aside=Aside(Why.RELEASED))
    waits = follow({}, [call], 90_000)
    assert due([call], waits, 90_000, after_ms=4_000) == []
    waits = follow(waits, [waiting := dataclasses.replace(call, aside=None)], 100_000)
    assert due([waiting], waits, 103_000, after_ms=4_000) == [], "it waits since somebody asked for an agent"
    assert due([waiting], waits, 104_000, after_ms=4_000) == ["a"]


# Neighbours


def test_where_an_agent_of_the_teams_own_serves_nobody_is_sent_until_it_has_left() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.livekit.offer, offer = None, fakes.livekit.offer
        fakes.workers.add("w1")
        await fakes.call("a")
        fakes.livekit.join_neighbour("a")
        await fakes.clock.sleep(1.0)  # LiveKit gave its own dispatch to the neighbour
        assert state(fakes) == "neighbour"
        fakes.livekit.offer = offer
        for _ in range(50):
            await fakes.clock.sleep(1.0)
            assert state(fakes) == "neighbour", fakes.clock.monotonic()
        assert fakes.livekit.attempts("a") == []
        assert state(fakes) == "neighbour"
        fakes.livekit.leave("a", "agent-X")
        await fakes.until(lambda: fakes.livekit.agents("a"))

    with_region(story, dispatcher, lister)


async def told(fakes: FakeRegion, event: WebhookEvent) -> None:
    body = json.dumps(dataclasses.asdict(event)).encode()
    app = web.Application()
    Webhooks({"eu": fakes.region}, cast(Any, fakes.limiter), fakes.joins, fakes.metrics).add_routes(app)
    answer = await request(app, "POST", "/webhooks/livekit/eu", body, headers={"Authorization": sign(body)})
    assert answer.status == 200


def test_a_webhook_tells_of_a_neighbour_at_once_though_no_slot_is_free() -> None:
    async def story(fakes: FakeRegion) -> None:
        await fakes.call("a")
        fakes.livekit.join_neighbour("a")
        came = WebhookEvent("participant_joined", "a", "RM_1", caller=False, agent=True, neighbour=True)
        await told(fakes, came)
        await fakes.until(lambda: state(fakes) == "neighbour")
        fakes.livekit.leave("a", "agent-X")
        await told(fakes, dataclasses.replace(came, event="participant_left"))
        await fakes.until(lambda: state(fakes) == "waiting")

    with_region(story, dispatcher)


def test_a_neighbour_in_a_released_call_leaves_it_released() -> None:
    async def story(fakes: FakeRegion) -> None:
        await released(fakes)
        sid = fakes.livekit.rooms["a"].sid
        await fakes.store.neighbour_here("a", sid)
        await fakes.store.neighbour_gone("a")
        await fakes.clock.sleep(10.0)
        assert state(fakes) == "released"

    with_region(story, dispatcher)
