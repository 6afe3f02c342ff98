"""Plans: what to do about a decision. The invariants hold for any observation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicefleet.contract.pools import PoolSpec
from voicefleet.scaling import Actions, Decision, PoolObservation, Reason, SupplyState, Worker, permitted, plan

pytestmark = pytest.mark.unit

SPEC = PoolSpec(region="eu", min_workers=1, max_workers=5, slots=4, buffer=2, scale_down_delay_s=60)
READY, STARTING, DRAINING = SupplyState.READY, SupplyState.STARTING, SupplyState.DRAINING
STOPPING, UNKNOWN = SupplyState.STOPPING, SupplyState.UNKNOWN


def observed(workers: Sequence[Worker], spec: PoolSpec = SPEC) -> PoolObservation:
    return PoolObservation(spec, 0, tuple(workers), 0, 0, 0, complete=True)


def wanted(desired: int, *, may_shrink: bool = True, replace: tuple[str, ...] = ()) -> Decision:
    return Decision(desired, Reason.CALLS, "", may_shrink=may_shrink, replace=replace)


def worker(name: str, state: SupplyState = READY, live: int = 0, **more: object) -> Worker:
    return dataclasses.replace(Worker(name, state, 4, live), **more)  # type: ignore[arg-type]


def drained(name: str, live: int = 0, *, seen: bool = True) -> Worker:
    return worker(name, DRAINING, live, cordoned=True, order_seen=seen)


def test_starting_workers_count_so_nothing_is_started_twice() -> None:
    assert plan(observed([worker("a"), worker("b", STARTING)]), wanted(2)).none
    assert plan(observed([worker("a"), worker("b", STARTING)]), wanted(4)) == Actions(start=2)


def test_draining_workers_come_back_before_new_ones_start_the_busiest_first() -> None:
    workers = [worker("a", live=4), drained("b", 1), drained("c", 3), drained("d", 0)]
    assert plan(observed(workers), wanted(3)) == Actions(uncordon=("c", "b"), retire=("d",))


def test_a_worker_that_was_told_to_come_back_is_not_replaced_meanwhile() -> None:
    coming = worker("b", DRAINING, 1, cordoned=False, order_seen=False)
    assert plan(observed([worker("a"), coming]), wanted(2)).none


def test_a_worker_that_drains_although_told_not_to_is_no_supply() -> None:
    """Someone else ended it: it obeyed our order and still drains."""
    leaving = worker("b", DRAINING, 1, cordoned=False, order_seen=True)
    assert plan(observed([worker("a"), leaving]), wanted(2)) == Actions(start=1)


def test_victims_are_the_workers_with_the_fewest_calls() -> None:
    workers = [worker("a", live=2), worker("b", live=0), worker("c", live=3), worker("d", live=1)]
    assert plan(observed(workers), wanted(2)) == Actions(cordon=("b", "d"))


def test_starting_workers_do_not_push_out_ready_ones() -> None:
    assert plan(observed([worker("a", live=1), worker("b", STARTING), worker("c", STARTING)]), wanted(1)).none


@pytest.mark.parametrize(
    "not_yet",
    [
        drained("a", live=1),
        drained("a", seen=False),
        worker("a", DRAINING, accepting=1, cordoned=True, order_seen=True),
        worker("a", READY, cordoned=True, order_seen=True),
        worker("a", UNKNOWN, cordoned=True, order_seen=True, silent_s=99),
        worker("a", STOPPING, cordoned=True, order_seen=True),
    ],
)
def test_retired_only_when_it_said_itself_that_it_is_idle(not_yet: Worker) -> None:
    assert plan(observed([worker("b"), not_yet]), wanted(1)).retire == ()
    assert plan(observed([worker("b"), drained("a")]), wanted(1)).retire == ("a",)


def test_nothing_is_cordoned_while_one_fell_silent() -> None:
    silent = worker("c", UNKNOWN, silent_s=12)
    assert plan(observed([worker("a"), worker("b"), silent]), wanted(1)).cordon == ()
    assert plan(observed([worker("a"), worker("b"), dataclasses.replace(silent, silent_s=31)]), wanted(1)).cordon


def test_a_lost_worker_is_replaced_within_the_maximum() -> None:
    lost = worker("a", UNKNOWN, live=2, silent_s=31)
    assert plan(observed([lost]), wanted(1)) == Actions(start=1)
    assert plan(observed([lost], dataclasses.replace(SPEC, max_workers=1)), wanted(1)).none


def test_a_wedged_worker_makes_room_for_its_replacement() -> None:
    workers = [worker("a", STARTING, age_s=500)]
    actions = plan(observed(workers, dataclasses.replace(SPEC, max_workers=1)), wanted(1, replace=("a",)))
    assert actions == Actions(start=1, replace=("a",))


states = st.sampled_from(list(SupplyState))
workers_ = st.lists(
    st.builds(
        Worker,
        id=st.uuids().map(str),
        state=states,
        slots=st.just(4),
        live=st.integers(0, 4),
        accepting=st.integers(0, 2),
        age_s=st.floats(0, 500),
        silent_s=st.floats(0, 100),
        cordoned=st.booleans(),
        order_seen=st.booleans(),
    ),
    max_size=10,
    unique_by=lambda w: w.id,
)


@settings(max_examples=400, deadline=None)
@given(workers_, st.integers(0, 3), st.integers(0, 6), st.data())
def test_invariants(workers: list[Worker], least: int, more: int, data: st.DataObject) -> None:
    spec = dataclasses.replace(SPEC, min_workers=least, max_workers=least + more)
    desired = data.draw(st.integers(spec.min_workers, spec.max_workers))
    may_shrink = data.draw(st.booleans())
    actions = plan(observed(workers, spec), wanted(desired, may_shrink=may_shrink))
    by_id = {w.id: w for w in workers}

    for each in actions.retire:
        gone = by_id[each]
        assert gone.busy == 0, "a worker with calls was retired"
        assert gone.state is DRAINING
        assert gone.cordoned
        assert gone.order_seen
    if not may_shrink:
        assert actions.cordon == actions.retire == ()

    everyone = [*actions.cordon, *actions.uncordon, *actions.retire, *actions.replace]
    assert len(everyone) == len(set(everyone))
    assert all(by_id[w].state is READY for w in actions.cordon)
    assert all(by_id[w].cordoned for w in actions.uncordon)

    # Never below the minimum: what takes calls and stays is at least what is wanted.
    if actions.cordon:
        staying = [w for w in workers if w.state is READY and not w.cordoned and w.id not in actions.cordon]
        assert len(staying) >= max(desired, spec.min_workers)
        assert not actions.uncordon

    # Never above the maximum by our doing.
    taking = sum(w.supply or (w.lost and not w.cordoned) for w in workers)
    added = actions.start + len(actions.uncordon)
    supply = sum(w.supply for w in workers)
    assert supply + added <= max(supply, desired)
    if actions.start:
        assert taking + added <= spec.max_workers


@settings(deadline=None)
@given(workers_, st.integers(0, 5))
def test_the_plan_carried_out_leaves_nothing_more_to_start(workers: list[Worker], desired: int) -> None:
    """Interrupted anywhere, the next plan goes on; done, it does not start again."""
    actions = plan(observed(workers), wanted(desired))
    after = [
        dataclasses.replace(
            w,
            cordoned=(w.cordoned or w.id in actions.cordon) and w.id not in actions.uncordon,
            order_seen=w.order_seen and w.id not in (*actions.cordon, *actions.uncordon),
            state=STOPPING if w.id in actions.retire else w.state,
        )
        for w in workers
    ]
    after += [worker(f"new-{n}", STARTING) for n in range(actions.start)]
    again = plan(observed(after), wanted(desired))
    assert again.start == 0
    assert again.uncordon == ()
    assert set(again.cordon) == set()


def requested(name: str, live: int = 0) -> Worker:
    """A worker whose end somebody requested, and that was not told yet."""
    return worker(name, STOPPING, live, end_requested=True)


def test_a_requested_end_is_carried_out_whatever_the_decision_is() -> None:
    workers = [worker("a"), requested("b", live=2)]
    assert plan(observed(workers), wanted(2)) == Actions(start=1, end=("b",))
    assert plan(observed(workers), wanted(1, may_shrink=False)) == Actions(end=("b",))
    assert plan(observed([worker("a"), worker("b", STOPPING)]), wanted(1)).none, "it was told"


def test_a_lost_order_is_given_again_unless_the_worker_comes_back() -> None:
    lost = dataclasses.replace(drained("b", 1, seen=False), order_lost=True)
    assert plan(observed([worker("a"), lost]), wanted(1)) == Actions(cordon_again=("b",))
    assert plan(observed([worker("a"), lost]), wanted(1, may_shrink=False)) == Actions(cordon_again=("b",))
    assert plan(observed([worker("a"), lost]), wanted(2)) == Actions(uncordon=("b",))


@pytest.mark.parametrize("managed", [True, False])
def test_a_pool_that_is_not_scaled_only_ends_what_was_requested(managed: bool) -> None:
    spec = dataclasses.replace(SPEC, act=not managed)
    observation = dataclasses.replace(observed([worker("a"), requested("b")], spec), managed=managed)
    assert plan(observation, wanted(4)) == Actions(end=("b",))


ALL = Actions(start=1, cordon=("a",), uncordon=("b",), retire=("c",), replace=("d",), end=("e",), cordon_again=("f",))


@pytest.mark.parametrize("leads", [True, False])
@pytest.mark.parametrize("instances_known", [True, False])
@pytest.mark.parametrize("cannot_elect", [True, False])
@pytest.mark.parametrize("callers_wait", [True, False])
def test_only_the_leader_scales_and_anybody_brings_workers_back_when_nobody_can_lead(
    leads: bool, instances_known: bool, cannot_elect: bool, callers_wait: bool
) -> None:
    found = permitted(
        ALL, leads=leads, instances_known=instances_known, cannot_elect=cannot_elect, callers_wait=callers_wait
    )
    if leads and instances_known:
        assert found == ALL
    elif leads or (cannot_elect and callers_wait):
        assert found == Actions(uncordon=("b",))
    else:
        assert found.none


def test_victims_are_all_whose_end_is_planned() -> None:
    assert ALL.victims == ("c", "d", "e")
