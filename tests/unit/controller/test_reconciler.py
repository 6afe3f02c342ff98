"""What a replica does about its decisions when it leads, when it does not, and when nobody can."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from support.fake_fleet import FakeCalls, FakeCampaignStore, FakeLeadership, FakeModelStore, take_over_calls
from support.region_settings import region_settings
from support.virtual_time import LoopClock, run
from voicefleet.contract.claims import Claim
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.reports import WorkerOrder, WorkerReport
from voicefleet.controller.calls.snapshots import Call, Snapshot
from voicefleet.controller.leader.leadership import Term
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.pool.reconciler import DecisionLog, PoolReconciler
from voicefleet.controller.pool.worker_store import Reported
from voicefleet.controller.ports import Instance, InstanceExit, InstanceState, StartupTimestamps
from voicefleet.controller.regions.region import Region

pytestmark = pytest.mark.unit

SETTINGS = region_settings({"min_workers": 1, "max_workers": 5, "slots": 2, "start_timeout_s": 60})
SPEC = SETTINGS.pool_spec
RUNNING = InstanceState.RUNNING


@dataclass
class Fleet:
    """Instances that somebody else keeps; writes are noted."""

    there: list[Instance] = field(default_factory=list)
    away: bool = False
    rolls: bool = False
    writes: list[tuple[int, list[str]]] = field(default_factory=list)

    async def instances(self) -> tuple[Instance, ...]:
        if self.away:
            raise UnknownStateError("no API server")
        return tuple(self.there)

    async def scale(self, start: int, victims: Sequence[str]) -> None:
        if start or victims:
            self.writes.append((start, list(victims)))

    def rolling(self) -> bool:
        return self.rolls

    def exits(self) -> tuple[InstanceExit, ...]:
        return ()

    def access_ends_s(self) -> float | None:
        return None

    def registered(self, workers: Collection[str]) -> None:
        pass

    def try_again(self) -> None:
        pass

    def trouble(self) -> str:
        return ""


@dataclass
class Book:
    """Reports and orders, as Redis would hold them."""

    reported: dict[str, Reported] = field(default_factory=dict)
    orders: list[tuple[str, bool]] = field(default_factory=list)
    terms: list[Term | None] = field(default_factory=list)
    """Of each order, and of each beginning."""
    away: bool = False

    async def read(self) -> dict[str, Reported]:
        return dict(self.reported)

    async def drains(self) -> frozenset[str]:
        return frozenset()

    async def order(
        self, worker: str, *, cordon: bool, after: int, leave: bool = False, term: Term | None = None
    ) -> None:
        self.orders.append((worker, cordon))
        self.terms.append(term)

    async def enter(self, term: Term) -> None:
        if self.away:
            raise UnknownStateError("no Redis")
        self.terms.append(term)

    async def forget(self, workers: Iterable[str]) -> None:
        pass


class Pool:
    """Two workers of two slots each, `calls` of whom wait or are served."""

    def __init__(self, leader: FakeLeadership, *, live: int = 0, waiting: int = 0, cordoned: str = "") -> None:
        self.fleet, self.book, self.store = Fleet(), Book(), FakeCalls()
        for name in ("a", "b"):
            self.add(name, cordoned=name == cordoned, live=live if name == "a" else 0)
        self.region = Region(
            settings=SETTINGS,
            livekit=cast(Any, None),
            calls=cast(Any, self.store),
            workers=cast(Any, self.book),
            models=cast(Any, FakeModelStore()),
            campaigns=cast(Any, FakeCampaignStore(LoopClock())),
            dials=cast(Any, None),
            fleet=cast(Any, self.fleet),
            clock=LoopClock(),
            metrics=Metrics(),
        )
        self.calls(live, waiting)
        self.decisions = DecisionLog()
        self.loop = PoolReconciler(self.region, self.decisions, leader, tick_s=2.0)

    async def tick(self) -> None:
        """The next tick, two seconds later; all reads are of then."""
        await asyncio.sleep(2.0)
        await take_over_calls(self.region)
        await self.loop.tick()

    def add(self, name: str, *, cordoned: bool = False, live: int = 0) -> None:
        order = WorkerOrder(7, cordon=True) if cordoned else None
        state = "draining" if cordoned else "ready"
        report = WorkerReport(
            name, "eu", state, 2, live, 0, uptime_s=99.0, startup_s=3.0, order_seen=7 if cordoned else 0
        )
        self.book.reported[name] = Reported(report, 0.5, order)
        self.fleet.there.append(Instance(name, RUNNING, 99.0, startup=StartupTimestamps(made_s=-99.0, asked_s=-100.0)))

    def calls(self, live: int, waiting: int) -> None:
        told = self.book.reported["a"]
        self.book.reported["a"] = replace(told, report=replace(told.report, live=live))
        served = [Call(f"l{n}", 0, None, Claim("a", f"J{n}", 1, "live")) for n in range(live)]
        unserved = [Call(f"w{n}", 0, 1.0, None) for n in range(waiting)]
        self.store.snapshot = Snapshot(10_000, (*served, *unserved), ())


def test_the_leader_writes_and_orders() -> None:
    async def story() -> None:
        pool = Pool(FakeLeadership(), live=2, waiting=3)
        await pool.tick()
        assert pool.fleet.writes == [(1, [])]
        pool.calls(1, 0)
        await pool.tick()
        assert pool.book.orders == [("b", True)]

    run(story())


def test_a_leader_says_once_that_its_term_began_and_cordons_in_its_name() -> None:
    async def story() -> None:
        first, second = Term("lease", 7), Term("lease", 9)
        leader = FakeLeadership(term=first)
        pool = Pool(leader, live=2, waiting=3)
        pool.book.away = True
        await pool.tick()
        assert (pool.fleet.writes, pool.book.terms) == ([(1, [])], []), "growth needs no Redis"
        pool.book.away = False
        await pool.tick()
        await pool.tick()
        assert pool.book.terms == [first]
        pool.calls(1, 0)
        await pool.tick()
        assert (pool.book.orders, pool.book.terms) == ([("b", True)], [first, first])
        leader.term = second
        await pool.tick()
        assert pool.book.terms[2] == second

    run(story())


def test_whoever_brings_a_worker_back_needs_no_term() -> None:
    async def story() -> None:
        pool = Pool(FakeLeadership(term=Term("lease", 7)), live=2, waiting=3, cordoned="b")
        await pool.tick()
        assert pool.book.orders == [("b", False)]
        assert pool.book.terms == [Term("lease", 7), None]

    run(story())


def test_a_follower_decides_the_same_and_does_nothing() -> None:
    async def story() -> None:
        pool = Pool(FakeLeadership(leads=False, holder="other"), live=2, waiting=3)
        await pool.tick()
        pool.calls(1, 0)
        await pool.tick()
        assert (pool.fleet.writes, pool.book.orders) == ([], [])
        assert [(d.desired, d.shadow) for d in pool.decisions.kept] == [(3, True), (1, True)]

    run(story())


def test_one_that_begins_to_lead_is_warm() -> None:
    async def story() -> None:
        leader = FakeLeadership(leads=False)
        pool = Pool(leader, live=2, waiting=3)
        await pool.tick()
        leader.leads = True
        await pool.tick()
        assert pool.fleet.writes == [(1, [])]

    run(story())


def test_without_an_api_server_a_cordoned_worker_comes_back_for_a_caller_who_waits() -> None:
    async def story() -> None:
        leader = FakeLeadership(leads=True)
        pool = Pool(leader, live=2, cordoned="b")
        pool.fleet.there.append(Instance("w/missing-1", InstanceState.PENDING, 1.0))
        await pool.tick()
        pool.book.orders.clear()
        # The API server is lost, and the Lease with it: nobody leads.
        pool.fleet.away, leader.leads, leader.trouble = True, False, "no answer"
        pool.fleet.there.clear()
        await pool.tick()
        assert pool.book.orders == []
        pool.calls(2, 3)
        await pool.tick()
        assert pool.book.orders == [("b", False)]
        # A replica that sees another one lead leaves it to that one.
        pool.book.orders.clear()
        leader.trouble, leader.holder = "", "other"
        await pool.tick()
        assert pool.book.orders == []

    run(story())


def test_unknown_pods_are_no_reason_to_scale() -> None:
    async def story() -> None:
        pool = Pool(FakeLeadership(), live=2)
        await pool.tick()
        pool.fleet.away = True
        pool.book.orders.clear()
        for _ in range(5):
            await pool.tick()
        assert (pool.fleet.writes, pool.book.orders) == ([], [])
        assert "no API server" in pool.region.reason
        assert pool.region.pool.observation is not None
        assert not pool.region.pool.observation.complete

    run(story())


def test_nothing_shrinks_during_a_rollout() -> None:
    async def story() -> None:
        pool = Pool(FakeLeadership(), live=1)
        pool.fleet.rolls = True
        pool.add("surge")
        await pool.tick()
        assert (pool.fleet.writes, pool.book.orders) == ([], [])
        pool.fleet.rolls = False
        await pool.tick()
        assert len(pool.book.orders) == 2

    run(story())


def test_the_time_a_worker_took_is_learned_once() -> None:
    async def story() -> None:
        pool = Pool(FakeLeadership(), live=2)
        await pool.tick()
        await pool.tick()
        # Asked for at -100 s, registered 99 - 3 + 0.5 s before the first tick, which was at 2 s.
        value = pool.region.metrics.registry.get_sample_value
        assert value("voicefleet_scaler_startup_seconds_sum", {"region": "eu", "phase": "total"}) == 11.0
        assert value("voicefleet_scaler_startup_seconds_count", {"region": "eu", "phase": "total"}) == 2.0
        assert value("voicefleet_scaler_startup_seconds_sum", {"region": "eu", "phase": "creation"}) == 2.0

    run(story())
