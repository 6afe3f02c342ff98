"""What reports, instances and calls add up to; what is missing stays unknown."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from support.fake_fleet import take_over_calls
from support.fake_region import FakeRegion, with_region
from voicefleet.contract.claims import Claim
from voicefleet.contract.pools import PoolSpec
from voicefleet.contract.reports import WorkerOrder, WorkerReport
from voicefleet.controller.calls.snapshots import Call, Snapshot
from voicefleet.controller.pool.observe import Readings, compose
from voicefleet.controller.pool.worker_store import Reported
from voicefleet.controller.ports import Instance, InstanceState
from voicefleet.controller.regions.capacity import RegionCapacity, capacity_of, choose
from voicefleet.scaling import PoolObservation, SupplyState, SureCalls, Worker

pytestmark = pytest.mark.unit

SPEC = PoolSpec(region="eu", min_workers=1, max_workers=5, slots=4, buffer=2, scale_down_delay_s=60)
CLAIM = Claim("eu-1", "J", 1, "live")
SNAPSHOT = Snapshot(
    10_000,
    (Call("a", 1_000, None, CLAIM), Call("b", 8_000, 8_000.0, None), Call("c", 9_900, None, None)),
    (),
)


def reported(
    worker: str = "eu-1",
    state: str = "ready",
    live: int = 0,
    *,
    silent_s: float = 1.0,
    seen: int = 0,
    order: WorkerOrder | None = None,
) -> dict[str, Reported]:
    report = WorkerReport(worker, "eu", state, 4, live, 0, uptime_s=50, order_seen=seen)
    return {worker: Reported(report, silent_s, order)}


def observe(
    reports: dict[str, Reported] | None,
    snapshot: Snapshot | None = SNAPSHOT,
    *,
    state: InstanceState = InstanceState.RUNNING,
    managed: bool = True,
    leaving: Collection[str] = (),
    last_reported_s: dict[str, float] | None = None,
    sure: Snapshot | None = None,
    heard_for_s: float = math.inf,
) -> PoolObservation:
    instances = (Instance("eu-1", state, 50.0),)
    return compose(
        SPEC,
        Readings(
            now_s=100.0,
            start_timeout_s=60,
            managed=managed,
            instances=instances if managed else (),
            reports=reports,
            last_reported_s=last_reported_s or {},
            leaving=leaving,
            snapshot=snapshot,
            sure=sure,
            heard_for_s=heard_for_s,
        ),
    )


def only(observation: PoolObservation) -> Worker:
    (worker,) = observation.workers
    return worker


def test_calls_are_counted_by_their_state() -> None:
    observation = observe(reported(live=1))
    assert (observation.calls_live, observation.calls_waiting, observation.calls_joining) == (1, 1, 1)
    assert observation.complete
    assert only(observation) == Worker("eu-1", SupplyState.READY, 4, 1, age_s=50, silent_s=1)


def test_a_call_without_a_claim_counts_where_its_worker_reports_it() -> None:
    assert observe(reported(live=3)).calls_live == 3


@pytest.mark.parametrize(
    ("reports", "state", "wanted"),
    [
        ({}, InstanceState.RUNNING, SupplyState.STARTING),
        (None, InstanceState.RUNNING, SupplyState.UNKNOWN),
        (reported(state="starting"), InstanceState.RUNNING, SupplyState.STARTING),
        (reported(state="draining"), InstanceState.RUNNING, SupplyState.DRAINING),
        (reported(silent_s=11), InstanceState.RUNNING, SupplyState.UNKNOWN),
        (reported(), InstanceState.STOPPING, SupplyState.STOPPING),
        ({}, InstanceState.STOPPING, SupplyState.STOPPING),
    ],
)
def test_states(reports: dict[str, Reported] | None, state: InstanceState, wanted: SupplyState) -> None:
    assert only(observe(reports, state=state)).state is wanted


def test_unknown_is_not_zero() -> None:
    for observation in (observe(None), observe(reported(), None)):
        assert not observation.complete
        assert observation.calls is None


def test_calls_in_redis_are_a_lower_bound_while_the_rooms_are_unknown() -> None:
    observation = observe(reported(live=3), None, sure=SNAPSHOT)
    assert (observation.calls, observation.complete, observation.partial) == (None, False, True)
    assert observation.sure == SureCalls(live=3, waiting=1, joining=1)
    assert observation.least_calls == 5
    without = observe(None, None, sure=SNAPSHOT)
    assert without.sure == SureCalls(1, 1, 1)
    whole = observe(reported(live=1))
    assert (whole.partial, whole.least_calls) == (False, whole.calls)


def test_with_redis_away_nobody_counts_as_lost() -> None:
    assert not only(observe(None)).lost


def test_with_redis_away_nobody_counts_as_lost_who_reported_before() -> None:
    worker = only(observe(None, last_reported_s={"eu-1": 20.0}))
    assert (worker.state, worker.silent_s, worker.supply) == (SupplyState.UNKNOWN, 0.0, True)


def test_when_redis_is_back_nobody_was_silent_for_longer_than_it_was_heard() -> None:
    for reports in (reported(silent_s=600), {}):
        worker = only(observe(reports, last_reported_s={"eu-1": -500.0}, heard_for_s=0.5))
        assert (worker.state, worker.silent_s, worker.supply) == (SupplyState.UNKNOWN, 0.5, True)
    assert only(observe(reported(silent_s=600), heard_for_s=31.0)).lost


def test_no_worker_can_register_while_reports_cannot_be_read() -> None:
    assert not observe(None).can_register
    assert observe({}).can_register


def test_what_was_asked_for_and_does_not_run_is_no_worker() -> None:
    looping = Instance("eu/missing-1", InstanceState.CRASH_LOOPING, 5.0, "why", counts=False)
    readings = Readings(now_s=1.0, start_timeout_s=60, instances=(looping,), reports={}, snapshot=SNAPSHOT)
    observation = compose(SPEC, readings)
    assert (observation.workers, observation.supply, observation.complete) == ((), 0, True)


def test_orders() -> None:
    order = WorkerOrder(serial=7, cordon=True)
    assert not only(observe(reported(state="ready", seen=6, order=order))).order_seen
    seen = only(observe(reported(state="draining", seen=7, order=order)))
    assert (seen.cordoned, seen.order_seen, seen.idle_for_sure) == (True, True, True)


def test_an_order_that_redis_lost_is_known_by_what_the_worker_does_but_nobody_is_retired_on_it() -> None:
    worker = only(observe(reported(state="draining", seen=7)))
    assert (worker.cordoned, worker.idle_for_sure) == (True, False)


def test_a_worker_that_drains_unasked_is_on_its_way_out_and_cannot_come_back() -> None:
    for order, seen in ((None, 0), (WorkerOrder(serial=7, cordon=False), 7)):
        worker = only(observe(reported(state="draining", seen=seen, order=order)))
        assert (worker.supply, worker.cordoned, worker.idle_for_sure) == (False, False, False)


def test_a_report_of_somebody_elses_worker_is_load_not_supply() -> None:
    observation = observe(reported("stray", live=2))
    assert only(observation).id == "eu-1"
    assert observation.calls_live == 2


def test_without_a_fleet_the_reports_are_the_workers() -> None:
    observation = observe(reported("pod-7", live=2), managed=False)
    assert only(observation).id == "pod-7"
    assert observation.complete


def test_a_call_on_its_way_to_another_worker_counts_once() -> None:
    def says(worker: str, rooms: list[str], *, accepting: int = 0) -> Reported:
        live = len(rooms) - accepting
        return Reported(WorkerReport(worker, "eu", "ready", 4, live, accepting, uptime_s=50, rooms=rooms), 1.0, None)

    old = says("old", ["r1", "r2"])
    accepted, joined = says("new", ["r1"], accepting=1), says("new", ["r1"])
    assert observe({"old": old, "new": accepted}).calls_live == 2
    assert observe({"old": old, "new": joined}).calls_live == 2
    assert observe({"old": old, "new": says("new", ["r3"])}).calls_live == 3


def test_a_worker_ordered_to_end_is_no_supply_from_that_moment() -> None:
    worker = only(observe(reported(live=1), leaving={"eu-1"}))
    assert (worker.state, worker.supply, worker.end_requested) == (SupplyState.STOPPING, False, True)


def test_an_end_is_requested_until_the_worker_was_told() -> None:
    told = WorkerOrder(serial=7, cordon=True, leave=True)

    def wanted(reports: dict[str, Reported], **more: Any) -> bool:
        return only(observe(reports, leaving={"eu-1"}, **more)).end_requested

    assert wanted({})
    assert not wanted({}, state=InstanceState.STOPPING)
    assert not wanted(reported(state="draining", live=1)), "it ends by itself: a second SIGTERM would cut its calls"
    assert wanted(reported(state="draining", live=1, seen=7, order=WorkerOrder(serial=7, cordon=True)))
    assert wanted(reported(), managed=False)
    assert not wanted(reported(order=told), managed=False)


def test_an_order_is_lost_when_a_worker_drains_by_it_and_redis_has_none() -> None:
    assert only(observe(reported(state="draining", seen=7))).order_lost
    assert not only(observe(reported(state="draining", seen=0))).order_lost, "it drains by itself"
    assert not only(observe(reported(state="draining", seen=7, order=WorkerOrder(serial=7, cordon=True)))).order_lost
    assert not only(observe(reported(state="draining", seen=7), state=InstanceState.STOPPING)).order_lost
    assert not only(observe(reported(state="draining", seen=7), managed=False)).order_lost


def test_the_region_with_the_most_free_slots_is_chosen() -> None:
    a, b, c = RegionCapacity("a", 1, 9), RegionCapacity("b", 3, 3), RegionCapacity("c", None, None)
    assert choose([a, b, c]) == b
    assert choose([RegionCapacity("a", 0, 9), RegionCapacity("b", -1, 20)]) == RegionCapacity("a", 0, 9)
    assert choose([RegionCapacity("a", 0, 0), c]) == c  # unknown is not full
    assert choose([RegionCapacity("a", 0, 0), RegionCapacity("b", -2, 0)]) is None
    assert choose([RegionCapacity("a", 2, 0)]) is not None  # draining ones give slots beyond the maximum


def test_tickets_that_nobody_joined_with_close_a_region_to_their_own_key_alone() -> None:
    full, free = RegionCapacity("a", 0, 0, slots=8, ratio=0.5), RegionCapacity("a", 8, 8, slots=8, ratio=0.5)
    assert choose([replace(free, reserved=50)]) is not None, "of other keys"
    assert choose([replace(free, reserved=3, own=3, held=3)]) is not None
    assert choose([replace(free, reserved=4, own=4, held=4)]) is None
    assert choose([replace(free, reserved=4, own=4, held=4, ratio=1.0)]) is not None, "no other key calls"
    assert choose([replace(free, held=8)]) is None, "they could all come at once"
    assert choose([replace(free, free_now=0, free_at_most=1, own=0)]) is not None, "one is always its share"
    assert choose([replace(full, own=0)]) is None
    assert choose([RegionCapacity("c", None, None, own=99, held=99, ratio=0.5)]) is not None, "unknown is not full"
    # Reservations still tell where there is less room.
    assert choose([replace(free, reserved=7), RegionCapacity("b", 2, 8, slots=8)]) == RegionCapacity("b", 2, 8, slots=8)


def test_a_worker_whose_report_redis_lost_is_unknown_and_not_starting() -> None:
    assert only(observe({})).state is SupplyState.STARTING
    lost = only(observe({}, last_reported_s={"eu-1": 98.0}))
    assert (lost.state, lost.silent_s, lost.lost) == (SupplyState.UNKNOWN, 2.0, False)
    stopping = only(observe({}, state=InstanceState.STOPPING, last_reported_s={"eu-1": 98.0}))
    assert stopping.state is SupplyState.STOPPING


def test_a_slot_that_a_claim_has_is_promised_to_nobody_before_its_worker_reports_it() -> None:
    """Else one caller too many gets a ticket, and waits in silence until a whole call is over."""

    async def story(fakes: FakeRegion) -> None:
        fakes.workers.add("w1", slots=2)
        await fakes.region.reports.read()
        await take_over_calls(fakes.region)
        assert capacity_of(fakes.region, "front", 1.0).free_now == 2
        await fakes.store.caller_joined("a")
        await fakes.store.claims.accept("a", "RM_a", worker="w1", job="J1")
        await fakes.region.scans.scan()
        reports = fakes.region.reports.fresh()
        assert reports is not None
        assert reports["w1"].free == 2, "the report is of before"
        assert capacity_of(fakes.region, "front", 1.0).free_now == 1

    with_region(story)
