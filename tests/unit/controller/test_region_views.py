"""What a region's views remember, for how long, and what they call unknown."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from structlog.testing import capture_logs

from support.fake_fleet import FakeCalls, FakeFleet, take_over_calls
from support.fake_region import FakeRegion, with_region
from support.virtual_time import LoopClock, run
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.reports import STALE_AFTER_S
from voicefleet.controller.calls.snapshots import Call, Snapshot
from voicefleet.controller.regions.livekit_view import CUT_OFF_S, CutOff, ListedRooms
from voicefleet.controller.regions.pool_view import DEPARTED_KEPT_S, KnownInstances, PoolView
from voicefleet.scaling import Decision, PoolObservation

pytestmark = pytest.mark.unit


def test_workers_that_ended_are_known_for_a_minute_and_outlast_a_pass() -> None:
    pool = PoolView().with_departed("w1", 0.0).with_departed("w2", 30.0)
    pool = pool.with_pass(cast(PoolObservation, None), cast(Decision, None), 90.0)
    assert pool.departed(DEPARTED_KEPT_S) == {"w1", "w2"}
    assert pool.mean_call_s == 90.0
    assert pool.departed(DEPARTED_KEPT_S + 1.0) == {"w2"}
    later = pool.with_departed("w3", DEPARTED_KEPT_S + 1.0)
    assert later.departed_at_s.keys() == {"w2", "w3"}, "they do not pile up"


def test_livekit_is_distrusted_for_a_while() -> None:
    assert not CutOff().lately(0.0)
    assert CutOff(0.0).lately(CUT_OFF_S - 1.0)
    assert not CutOff(0.0).lately(CUT_OFF_S)


def test_instances_are_unknown_until_they_are_read_and_when_that_was_long_ago() -> None:
    async def story() -> None:
        fleet = FakeFleet(LoopClock(), slots=1)
        region = FakeRegion(fleet=fleet).region
        assert not region.fresh_instances()
        region.instances = KnownInstances((), region.clock.monotonic())
        assert region.fresh_instances()
        await region.clock.sleep(STALE_AFTER_S + 1.0)
        assert not region.fresh_instances()

    run(story())


def test_calls_are_known_while_they_were_read_lately_and_redis_answers() -> None:
    async def story(fakes: FakeRegion) -> None:
        region = fakes.region
        await take_over_calls(region)
        assert region.fresh_snapshot() is not None
        fakes.store.redis.away = True
        with pytest.raises(UnknownStateError):
            await region.scans.scan()
        await fakes.clock.sleep(0.1)
        assert (region.fresh_snapshot(), region.sure_snapshot()) == (None, None)
        fakes.store.redis.away = False
        await region.scans.scan()
        assert region.sure_snapshot() is not None
        assert region.fresh_snapshot() is None, "Redis may have lost some: until the next whole listing"
        await take_over_calls(region)
        await fakes.clock.sleep(STALE_AFTER_S + 1.0)
        assert (region.fresh_snapshot(), region.sure_snapshot()) == (None, None)

    with_region(story)


def test_a_scan_wakes_who_waits_for_the_next_one_and_tells_the_clock_of_redis() -> None:
    async def story() -> None:
        region = FakeRegion(calls=FakeCalls(Snapshot(10_000, (), ()))).region
        task = asyncio.ensure_future(region.scans.next())
        await region.clock.sleep(1.0)
        assert not task.done()
        snapshot = await region.scans.scan()
        await region.clock.sleep(2.0)
        assert task.done()
        assert region.scans.now_ms(snapshot) == 12_000

    run(story())


def test_reports_that_could_not_be_read_are_read_again_at_the_next_look() -> None:
    async def story(fakes: FakeRegion) -> None:
        fakes.workers.add("w1")
        await fakes.clock.sleep(0.1)
        assert (await fakes.region.reports.read()).keys() == {"w1"}
        fakes.workers.add("w2")
        await fakes.clock.sleep(0.1)
        fakes.region.note_change()
        fakes.workers.away = True
        with pytest.raises(UnknownStateError):
            await fakes.region.reports.read(60.0)
        fakes.workers.away = False
        assert (await fakes.region.reports.read(60.0)).keys() == {"w1", "w2"}

    with_region(story)


def test_a_call_is_over_when_neither_its_caller_nor_its_room_is_there() -> None:
    async def story() -> None:
        region = FakeRegion(calls=FakeCalls(Snapshot(0, (Call("here", 0, None, None),), ()))).region
        assert not region.surely_over("gone"), "nothing is known yet"
        await region.scans.scan()
        region.listed = ListedRooms(frozenset({"empty"}), region.clock.monotonic(), region.scans.failures)
        assert [region.surely_over(room) for room in ("here", "empty", "gone")] == [False, False, True]

    run(story())


def test_a_read_that_goes_on_failing_is_logged_once() -> None:
    async def story(fakes: FakeRegion) -> None:
        for text in ("no answer", "no route"):
            fakes.region.reads.failed("queue", UnknownStateError(text))
        assert fakes.region.reason == "queue: no route"
        assert fakes.metric("voicefleet_observe_failures_total", source="queue") == 2
        fakes.region.reads.succeeded("queue")
        assert fakes.region.reason == ""

    with capture_logs() as logs:
        with_region(story)
    assert [entry["event"] for entry in logs] == ["state unknown, keeping what there is", "state known again"]
