"""What a region's views make of its health: who waits since when, who stands still, who is refused, what it costs."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any, cast

import pytest

from support.fake_fleet import FakeCalls, FakeCampaignStore, FakeFleet, FakeLeadership, FakeModelStore, take_over_calls
from support.fake_region import FakeRegion, with_region
from support.region_settings import region_settings
from support.virtual_time import LoopClock, run
from voicefleet.contract.aside import Aside, Why
from voicefleet.contract.claims import Claim
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.health import HealthState
from voicefleet.controller.calls.snapshots import Snapshot, read_call
from voicefleet.controller.health.observe import observe, region_health
from voicefleet.controller.health.watch import HealthWatch
from voicefleet.controller.http.views import region_view
from voicefleet.controller.pool.reconciler import DecisionLog, PoolReconciler
from voicefleet.controller.regions.refusals import Refusals
from voicefleet.controller.regions.turn_rates import TurnRates

pytestmark = pytest.mark.unit

CLAIM = Claim("w1", "J1", 1, "live")


def test_who_never_had_an_agent_waits_since_it_joined_and_who_lost_its_own_since_then() -> None:
    never = read_call("r", "1000", "1000", None, None, 9_000, None)
    assert never.wants_since_ms == 1_000
    served = read_call("r", "1000", "", CLAIM, None, 20_000, never)
    assert (served.wants_since_ms, served.state) == (0, "live")
    lost = read_call("r", "1000", "-19000", None, None, 30_000, served)
    assert (lost.wants_since_ms, lost.state) == (30_000, "waiting")
    assert read_call("r", "1000", "-19000", None, None, 31_000, lost).wants_since_ms == 30_000
    released = read_call("r", "1000", "", None, Aside(Why.RELEASED), 40_000, served)
    assert released.wants_since_ms == 0
    assert read_call("r", "1000", "1000", None, None, 50_000, released).wants_since_ms == 50_000
    assert read_call("r", "1000", "-5000", None, None, 60_000, None).wants_since_ms == 60_000, "a new controller"


def pool_of(fakes: FakeRegion, fleet: FakeFleet) -> PoolReconciler:
    return PoolReconciler(fakes.region, DecisionLog(), FakeLeadership(), tick_s=2.0)


def fleet_region(**pool: Any) -> tuple[FakeRegion, FakeFleet]:
    """A region with a fleet of two workers of two slots."""
    fleet = FakeFleet(LoopClock(), slots=2)
    parts: dict[str, Any] = {
        "workers": fleet.store,
        "models": FakeModelStore(),
        "campaigns": FakeCampaignStore(LoopClock()),
    }
    fakes = FakeRegion(fleet=fleet, calls=FakeCalls(Snapshot(0, (), ())), **parts)
    settings = {"slots": 2, "min_workers": 2, "max_workers": 2, "policy": "buffer", "buffer": 0, **pool}
    fakes.region.settings = region_settings(settings)
    return fakes, fleet


async def looked(fakes: FakeRegion, fleet: FakeFleet) -> None:
    """Calls, rooms and pool are read."""
    await take_over_calls(fakes.region)
    await pool_of(fakes, fleet).tick()


def test_a_worker_that_stands_still_is_not_ready_after_three_seconds_and_its_calls_are_claims() -> None:
    async def story() -> None:
        fakes, fleet = fleet_region()
        one, two = fleet.add(["a"]), fleet.add()
        call = read_call("a", "0", "", dataclasses.replace(CLAIM, worker=one.name), None, 1_000, None)
        gone = read_call("b", "0", "", dataclasses.replace(CLAIM, worker="w9"), None, 1_000, None)
        cast(FakeCalls, fakes.region.calls).snapshot = Snapshot(1_000, (call, gone), ())
        await looked(fakes, fleet)
        view = region_view(fakes.region)
        assert (view.ready, view.live, view.moving, view.status) == (2, 2, 1, "ok")
        assert {w.id: w.calls for w in view.workers} == {one.name: 1, two.name: 0}
        one.silent_since_s = fakes.region.clock.monotonic()
        for _ in range(8):  # Redis is well all the time
            await asyncio.sleep(0.5)
            await looked(fakes, fleet)
        view = region_view(fakes.region)
        assert (view.ready, view.status) == (1, "degraded")
        assert [f.id for f in view.findings] == ["workers_silent"]
        assert "its 1 call is moved" in view.reason

    run(story())


def test_a_worker_that_ended_is_gone_at_once_and_told_with_its_calls() -> None:
    async def story() -> None:
        fakes, fleet = fleet_region()
        one, two = fleet.add(["a"]), fleet.add()
        held = read_call("a", "0", "", dataclasses.replace(CLAIM, worker=one.name), None, 1_000, None)
        calls = cast(FakeCalls, fakes.region.calls)
        calls.snapshot = Snapshot(1_000, (held,), ())
        await looked(fakes, fleet)
        watch, pool = HealthWatch(fakes.region, cast(Any, FakeLeadership())), pool_of(fakes, fleet)
        fleet.crash(one.name)
        await pool._reap_exited()
        view = region_view(fakes.region)
        assert [w.id for w in view.workers] == [two.name]
        assert (view.live, view.moving) == (1, 1)
        taken = read_call("a", "0", "", dataclasses.replace(CLAIM, worker=two.name, job="J2"), None, 2_400, held)
        calls.snapshot = Snapshot(2_400, (taken,), ())
        await fakes.region.scans.scan()
        for _ in range(3):
            watch.look()
            await asyncio.sleep(1.0)
        told = await fakes.region.incidents.read(9)
        assert [(i.kind, i.subject, i.text) for i in told] == [
            ("worker_lost", one.name, f"{one.name} killed by signal 9, 1 call moved in 1.4 s")
        ]

    run(story())


def test_with_redis_away_it_is_unknown_and_why_and_ok_again_when_it_is_back() -> None:
    async def story() -> None:
        fakes, fleet = fleet_region()
        fleet.add()
        fleet.add()
        await looked(fakes, fleet)
        assert region_health(fakes.region).state is HealthState.OK
        error = UnknownStateError("Redis did not answer (ConnectionError)", dependency="redis")
        fakes.region.reads.failed("queue", error)
        assert region_health(fakes.region).state is HealthState.DEGRADED, "what was read a moment ago still holds"
        await asyncio.sleep(11.0)
        health = region_health(fakes.region)
        assert [(f.id, f.state) for f in health.findings] == [("redis", HealthState.UNKNOWN)]
        assert "for 11 s" in health.text
        fakes.region.reads.succeeded("queue")
        await looked(fakes, fleet)
        assert region_health(fakes.region).state is HealthState.OK

    run(story())


def test_silence_of_workers_says_nothing_of_them_while_redis_was_away_a_moment_ago() -> None:
    async def story() -> None:
        fakes, fleet = fleet_region()
        one = fleet.add()
        fleet.add()
        await looked(fakes, fleet)
        one.silent_since_s = fakes.region.clock.monotonic()
        fleet.store.away = True
        await asyncio.sleep(5.0)
        fakes.region.reads.failed("reports", UnknownStateError("Redis did not answer", dependency="redis"))
        assert [f.id for f in region_health(fakes.region).findings] == ["redis"]
        assert region_view(fakes.region).ready is None, "unknown, and not one less"
        fleet.store.away = False
        fakes.region.reads.succeeded("reports")
        await looked(fakes, fleet)
        assert region_view(fakes.region).ready == 2, "it has not had the time to report yet"
        one.silent_since_s = fakes.region.clock.monotonic() - 60.0
        await asyncio.sleep(0.5)
        await looked(fakes, fleet)
        assert [f.id for f in region_health(fakes.region).findings] == ["not_read_yet"]
        for _ in range(8):
            await asyncio.sleep(0.5)
            await looked(fakes, fleet)
        assert [f.id for f in region_health(fakes.region).findings] == ["workers_silent"], "and now it has"

    run(story())


def test_what_failed_with_redis_is_over_with_it_though_nobody_tried_again() -> None:
    async def story(fakes: FakeRegion) -> None:
        reads, away = fakes.region.reads, UnknownStateError("no answer", dependency="redis")
        for source in ("queue", "webhooks"):
            reads.failed(source, away)
        await fakes.clock.sleep(1.0)
        reads.succeeded("queue")
        assert reads.failing() == {}
        await fakes.clock.sleep(1.0)
        reads.failed("webhooks", UnknownStateError("Redis refuses our user a command", dependency="redis"))
        assert reads.failing().keys() == {"webhooks"}, "and this has another cause"

    with_region(story)


def test_a_read_made_now_and_then_is_forgotten_and_a_steady_one_is_not() -> None:
    async def story(fakes: FakeRegion) -> None:
        for source in ("webhooks", "queue"):
            fakes.region.reads.failed(source, UnknownStateError("no answer", dependency="redis"))
        assert fakes.region.reads.failing().keys() == {"webhooks", "queue"}
        await fakes.clock.sleep(11.0)
        assert fakes.region.reads.failing().keys() == {"queue"}

    with_region(story)


def test_refused_callers_count_for_minutes() -> None:
    async def story() -> None:
        refusals = Refusals(LoopClock())
        for result in ("ticket", "full", "full"):
            refusals.note(result)
        await asyncio.sleep(100.0)
        refusals.note("limited")
        assert dict(refusals.within(60.0)) == {"limited": 1}
        assert dict(refusals.within(300.0)) == {"ticket": 1, "full": 2, "limited": 1}
        refusals.hear([{60.0: {"full": 3}, 300.0: {"full": 4}}])
        assert dict(refusals.within(60.0)) == {"limited": 1, "full": 3}
        assert (refusals.within(300.0)["full"], refusals.own(300.0)["full"]) == (6, 2)
        refusals.hear(())
        await asyncio.sleep(300.0)
        assert refusals.within(300.0)["full"] == 0

    run(story())


def test_turns_are_what_workers_gained_since_we_looked_and_a_new_worker_counts_from_zero() -> None:
    rates = TurnRates()
    assert not rates.known
    rates.add(0.0, {"w1": {"turn:error": 500}})
    assert rates.known
    assert rates.within(0.0, 60.0) == {}, "what happened before this controller began"
    rates.add(1.0, {"w1": {"turn:error": 502, "turn:completed": 1}, "w2": {"turn:completed": 3}})
    rates.add(2.0, {"w1": {"turn:completed": 2}, "w2": {"turn:completed": 3}})
    assert rates.within(2.0, 60.0) == {"turn:error": 2, "turn:completed": 6}, "w1 began anew"
    assert rates.within(62.0, 60.0) == {}
    rates.add(400.0, {})
    assert rates.within(400.0, 500.0) == {}


def test_few_turns_in_the_last_minute_are_judged_by_more_of_the_past() -> None:
    async def story(fakes: FakeRegion) -> None:
        turns = fakes.region.turns
        turns.add(0.0, {"w1": {}})
        turns.add(1.0, {"w1": {"turn:error": 4, "fail:llm/timeout": 4}})
        await fakes.clock.sleep(90.0)
        found = observe(fakes.region).turns
        assert found is not None
        assert (found.failed, found.failures, found.window_s) == (4, {"llm/timeout": 4}, 300.0)

    with_region(story)


def test_cost_is_that_of_the_workers_which_run_and_shown_with_its_currency() -> None:
    async def story() -> None:
        fakes, fleet = fleet_region(price_per_worker_hour=0.4, currency="EUR")
        for _ in range(3):
            fleet.add()
        assert region_view(fakes.region).cost_per_hour is None, "nothing is read yet"
        await looked(fakes, fleet)
        view = region_view(fakes.region)
        assert (view.cost_per_hour, view.currency) == (1.2, "EUR")
        watch = HealthWatch(fakes.region, cast(Any, FakeLeadership()))
        watch.look()
        assert fakes.metric("voicefleet_pool_cost_per_hour", currency="EUR") == 1.2
        await asyncio.sleep(60.0)
        watch.look()
        assert fakes.metric("voicefleet_pool_cost_per_hour", currency="EUR") == 0.0, "unknown: it is not there"

    run(story())
