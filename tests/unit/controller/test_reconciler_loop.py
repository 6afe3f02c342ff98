"""The reconciler's loop over a fake fleet, in virtual time: from calls to workers and back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from support.fake_fleet import FakeCalls, FakeCampaignStore, FakeFleet, FakeLeadership, FakeModelStore, take_over_calls
from support.fake_region import FakeRegion
from support.virtual_time import LoopClock, now_s, run
from voicefleet.contract.claims import Claim
from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.calls.snapshots import Call, Snapshot
from voicefleet.controller.leader.leadership import Term
from voicefleet.controller.pool.campaign_store import CampaignRecord
from voicefleet.controller.pool.reconciler import DecisionLog, PoolReconciler
from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.scaling import SupplyState

pytestmark = pytest.mark.unit

TICK_S = 2.0


class Pool:
    """At most 4 workers of two slots each, the fewest that the calls need. `start` runs the loop."""

    def __init__(self, *, leads: bool = True, managed: bool = True) -> None:
        self.fleet = FakeFleet(LoopClock(), slots=2)
        self.store, self.calls = self.fleet.store, FakeCalls()
        self.models, self.campaigns = FakeModelStore(), FakeCampaignStore(LoopClock())
        fakes = FakeRegion(
            slots=2,
            calls=self.calls,
            workers=self.store,
            models=self.models,
            campaigns=self.campaigns,
            fleet=self.fleet if managed else None,
        )
        self.metric, self.until = fakes.metric, fakes.until
        self.region = region = fakes.region
        self.leadership = FakeLeadership(leads, term=Term("lease", 1) if leads else None)
        self.decisions = DecisionLog()
        self.reconciler = PoolReconciler(region, self.decisions, self.leadership, tick_s=TICK_S)
        self.waiting = 0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.ensure_future(self._read_calls()), asyncio.ensure_future(self.reconciler.run())]

    async def stop(self) -> None:
        await cancel_and_wait(self._tasks)

    @property
    def names(self) -> list[str]:
        return list(self.fleet.workers)

    def state(self, name: str) -> SupplyState:
        observation = self.region.pool.observation
        assert observation is not None
        return next(w.state for w in observation.workers if w.id == name)

    async def ticks(self, count: int) -> None:
        await self.region.clock.sleep(count * TICK_S + 0.01)

    async def _read_calls(self) -> None:
        while True:
            live = [(worker, room) for worker in self.fleet.workers.values() for room in worker.rooms]
            served = [Call(room, 0, None, Claim(worker.name, f"J-{room}", 1, "live")) for worker, room in live]
            unserved = [Call(f"waiting-{n}", 0, 1.0, None) for n in range(self.waiting)]
            self.calls.snapshot = Snapshot(round(now_s() * 1000), (*served, *unserved), ())
            with contextlib.suppress(UnknownStateError):
                await take_over_calls(self.region)
            await self.region.clock.sleep(0.1)


def with_pool(story: Callable[[Pool], Awaitable[None]], *, leads: bool = True, managed: bool = True) -> None:
    async def go() -> None:
        pool = Pool(leads=leads, managed=managed)
        try:
            await story(pool)
        finally:
            await pool.stop()

    run(go())


def test_workers_come_for_callers_who_wait_and_go_when_their_calls_are_over() -> None:
    async def story(pool: Pool) -> None:
        pool.waiting = 3
        pool.start()
        await pool.until(lambda: len(pool.names) == 2)
        await pool.ticks(3)
        assert pool.fleet.scaled == [(2, ())], "workers that start are not started twice"
        pool.waiting = 0
        pool.fleet.workers["w1"].rooms = ["a", "b"]
        await pool.until(lambda: pool.names == ["w1"])
        assert pool.store.orders == [("w2", True)], "cordoned first"
        assert pool.fleet.scaled[1:] == [(0, ("w2",))], "then ended, because it said that it has no call"
        pool.fleet.workers["w1"].rooms.clear()
        await pool.until(lambda: not pool.names)
        assert pool.store.forgotten == {"w1", "w2"}
        await pool.ticks(1)
        assert pool.metric("voicefleet_scaler_desired_workers") == 0

    with_pool(story)


def test_a_worker_with_a_call_drains_until_the_call_is_over() -> None:
    async def story(pool: Pool) -> None:
        pool.fleet.add(["a"])
        pool.fleet.add(["b"])
        pool.start()
        await pool.until(lambda: len(pool.store.orders) == 1)
        await pool.ticks(20)
        assert (len(pool.names), pool.fleet.scaled) == (2, [])
        pool.fleet.workers[pool.store.orders[0][0]].rooms.clear()
        await pool.until(lambda: len(pool.names) == 1)

    with_pool(story)


def test_a_draining_worker_comes_back_before_one_is_started() -> None:
    async def story(pool: Pool) -> None:
        pool.fleet.add(["a"])
        pool.fleet.add(["b"])
        pool.start()
        await pool.until(lambda: len(pool.store.orders) == 1)
        await pool.ticks(1)
        pool.waiting = 1
        await pool.until(lambda: len(pool.store.orders) == 2)
        assert [cordon for _, cordon in pool.store.orders] == [True, False]
        await pool.ticks(2)
        assert (pool.fleet.scaled, len(pool.names)) == ([], 2)

    with_pool(story)


def test_a_worker_that_died_is_reaped_at_once_and_replaced() -> None:
    async def story(pool: Pool) -> None:
        pool.fleet.add(["a", "b"])
        pool.start()
        await pool.ticks(1)
        pool.region.wake.clear()
        pool.fleet.crash("w1")
        pool.waiting = 2
        assert await pool.until(lambda: "w1" in pool.store.forgotten) <= 0.26, "not at the next tick"
        assert pool.region.wake.is_set()
        assert await pool.until(lambda: pool.names == ["w2"]) <= 0.3

    with_pool(story)


def test_a_worker_that_died_while_redis_was_away_is_forgotten_later() -> None:
    async def story(pool: Pool) -> None:
        pool.fleet.add(["a"])
        pool.fleet.add(["b"])
        pool.start()
        await pool.ticks(1)
        pool.store.away = True
        pool.fleet.crash("w1")
        pool.fleet.crash("w2", sure=False)
        await pool.ticks(2)
        assert "exits: Redis did not answer" in pool.region.reason
        pool.store.away = False
        await pool.until(lambda: "w1" in pool.store.forgotten)
        await pool.ticks(1)
        assert "w2" not in pool.store.forgotten, "it may still run out of reach"
        assert pool.region.reason == ""

    with_pool(story)


def test_ten_minutes_without_redis_start_nothing_and_a_dead_worker_is_replaced_when_it_is_back() -> None:
    async def story(pool: Pool) -> None:
        for n in range(3):
            pool.fleet.add([f"a{n}", f"b{n}"])
        pool.start()
        await pool.ticks(1)
        pool.store.away = pool.calls.away = True
        await pool.ticks(60)
        pool.fleet.crash("w3")
        await pool.ticks(240)
        assert pool.fleet.scaled == [], "a worker that starts without Redis only ends again"
        assert {pool.state(name) for name in ("w1", "w2")} == {SupplyState.UNKNOWN}
        decision = pool.region.pool.decision
        assert decision is not None
        assert "Redis is away: 1 starts wait for it" in decision.detail
        assert pool.fleet.tries_again == 0
        for worker in pool.fleet.workers.values():
            worker.silent_since_s = now_s() - 600.0  # their last reports are as old as the outage
        pool.store.away = pool.calls.away = False
        pool.waiting = 2
        await pool.ticks(1)
        for worker in pool.fleet.workers.values():
            worker.silent_since_s = None
        await pool.ticks(3)
        assert pool.fleet.scaled == [(1, ())], "the one that died, and none for those that could not be heard"
        assert pool.fleet.tries_again == 1
        assert pool.region.reason == ""

    with_pool(story)


def test_the_fleet_is_told_once_whose_start_succeeded() -> None:
    async def story(pool: Pool) -> None:
        pool.waiting = 1
        pool.start()
        await pool.ticks(1)
        assert pool.fleet.said_registered == set()
        await pool.ticks(2)
        assert pool.fleet.said_registered == {"w1"}

    with_pool(story)


def test_a_requested_drain_ends_the_worker_once_and_another_takes_its_place() -> None:
    async def story(pool: Pool) -> None:
        pool.fleet.add(["a"])
        pool.start()
        await pool.ticks(1)
        pool.store.requested.add("w1")
        await pool.until(lambda: pool.fleet.workers["w1"].stopping)
        assert pool.fleet.scaled == [(1, ("w1",))], "its slots are replaced before its calls are over"
        await pool.ticks(5)
        assert "w1" in pool.names, "its call goes on"
        pool.fleet.workers["w1"].rooms.clear()
        await pool.until(lambda: "w1" in pool.store.forgotten)
        assert pool.store.requested == set()

    with_pool(story)


def test_a_worker_that_ends_by_itself_is_not_told_again() -> None:
    async def story(pool: Pool) -> None:
        worker = pool.fleet.add(["a"])
        worker.cordoned = True  # somebody sent it SIGTERM: nobody here ordered it
        pool.store.requested.add("w1")
        pool.start()
        await pool.ticks(4)
        assert pool.state("w1") is SupplyState.STOPPING
        assert not worker.stopping
        assert all(victims == () for _, victims in pool.fleet.scaled)

    with_pool(story)


def test_an_order_that_redis_lost_is_given_again() -> None:
    async def story(pool: Pool) -> None:
        pool.fleet.add(["a"])
        pool.fleet.add(["b"])
        pool.start()
        await pool.until(lambda: len(pool.store.orders) == 1)
        await pool.ticks(2)
        (victim, _) = pool.store.orders[0]
        pool.store.standing.clear()
        await pool.until(lambda: len(pool.store.orders) == 2)
        assert pool.store.orders[1] == (victim, True)
        assert pool.store.standing[victim].serial > 1, "above what the worker has seen"

    with_pool(story)


def test_while_a_worker_is_silent_nobody_is_cordoned() -> None:
    async def story(pool: Pool) -> None:
        pool.fleet.add(["a"])
        pool.fleet.add().silent_since_s = now_s() - 11.0
        pool.start()
        await pool.ticks(3)
        assert pool.state("w2") is SupplyState.UNKNOWN
        assert pool.store.orders == []

    with_pool(story)


def test_a_source_that_fails_is_unknown_and_nothing_is_written_until_it_answers() -> None:
    async def story(pool: Pool) -> None:
        pool.fleet.add(["a"])
        pool.start()
        await pool.ticks(1)
        pool.fleet.away, pool.waiting = True, 5
        await pool.ticks(3)
        assert (pool.fleet.scaled, pool.region.reason) == ([], "instances: no API server")
        failures = pool.metric("voicefleet_observe_failures_total", source="instances")
        assert failures >= 3
        pool.fleet.away = False
        await pool.until(lambda: pool.fleet.scaled)
        assert pool.region.reason == ""

    with_pool(story)


def test_a_pool_that_was_never_read_is_not_decided_upon() -> None:
    async def story(pool: Pool) -> None:
        pool.fleet.away, pool.waiting = True, 5
        pool.start()
        await pool.ticks(3)
        assert (pool.region.pool.observation, pool.region.pool.decision) == (None, None)

    with_pool(story)


def test_a_wake_is_followed_at_once() -> None:
    async def story(pool: Pool) -> None:
        pool.fleet.add(["a"])
        pool.start()
        await pool.ticks(1)
        pool.waiting = 2
        await pool.region.clock.sleep(0.2)
        pool.region.pool_wake.set()
        assert await pool.until(lambda: pool.fleet.scaled) <= 0.26

    with_pool(story)


def test_what_was_learned_is_left_at_the_end_and_found_by_the_next_leader() -> None:
    async def story(pool: Pool) -> None:
        pool.fleet.add(["a"])
        pool.start()
        await pool.ticks(1)
        assert pool.models.text is None
        await pool.stop()
        assert pool.models.text is not None
        successor = Pool()
        successor.models.text = pool.models.text
        successor.start()
        await successor.ticks(1)
        await successor.stop()
        assert successor.region.pool.decision is not None

    with_pool(story)


def test_a_follower_leaves_the_models_and_the_workers_alone() -> None:
    async def story(pool: Pool) -> None:
        pool.fleet.add(["a"])
        pool.waiting = 4
        pool.start()
        await pool.ticks(3)
        await pool.stop()
        assert (pool.models.text, pool.fleet.scale_calls, pool.store.orders) == (None, 0, [])
        assert [d.shadow for d in pool.decisions.kept] == [True] * len(pool.decisions.kept)

    with_pool(story, leads=False)


def test_announced_campaigns_are_on_our_clock() -> None:
    async def story(pool: Pool) -> None:
        pool.campaigns.ahead_ms = 60_000
        redis_ms = await pool.campaigns.now_ms()
        pool.campaigns.announced.append(CampaignRecord(redis_ms + 30_000, redis_ms + 90_000, 2.0, id="c"))
        pool.start()
        await pool.ticks(1)
        observation = pool.region.pool.observation
        assert observation is not None
        (campaign,) = observation.campaigns
        assert campaign.rate == 2.0
        assert campaign.start_s - observation.now_s == pytest.approx(30.0, abs=0.01)
        assert campaign.end_s - campaign.start_s == pytest.approx(60.0)

    with_pool(story)


def test_a_decision_is_listed_once_while_it_stands() -> None:
    async def story(pool: Pool) -> None:
        pool.fleet.add(["a"])
        pool.fleet.add(["b"])
        pool.start()
        await pool.ticks(10)
        assert len(pool.decisions.kept) == 2, [d.detail for d in pool.decisions.kept]

    with_pool(story)


def test_a_plan_that_is_held_back_is_listed_once() -> None:
    async def story(pool: Pool) -> None:
        pool.fleet.holds_back, pool.waiting = True, 3
        pool.start()
        await pool.ticks(5)
        assert len(pool.fleet.scaled) == 6, "asked for again"
        assert [d.desired for d in pool.decisions.kept] == [2]

    with_pool(story)


def test_a_worker_whose_report_redis_lost_is_silent_and_does_not_start_anew() -> None:
    async def story(pool: Pool) -> None:
        pool.fleet.add(["a"])
        pool.start()
        await pool.ticks(1)
        pool.store.lost.add("w1")
        await pool.ticks(1)
        assert pool.state("w1") is SupplyState.UNKNOWN
        assert pool.fleet.scaled == []

    with_pool(story)


def test_workers_that_somebody_else_runs_are_ordered_to_end_by_themselves() -> None:
    async def story(pool: Pool) -> None:
        worker = pool.fleet.add(["a"])
        pool.store.requested |= {"w1", "gone"}
        pool.start()
        await pool.until(lambda: worker.stopping)
        await pool.ticks(3)
        assert pool.store.orders == [("w1", True)], "once"
        assert pool.store.standing["w1"].leave
        assert pool.store.forgotten == {"gone"}
        assert pool.fleet.scaled == []

    with_pool(story, managed=False)
