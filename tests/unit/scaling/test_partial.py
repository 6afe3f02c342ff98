"""Partial knowledge: calls that are there for sure make a pool grow, and nothing that is not known makes it shrink."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicefleet.contract.pools import PoolSpec
from voicefleet.scaling import (
    PolicyState,
    PoolObservation,
    Reason,
    State,
    SupplyState,
    SureCalls,
    Worker,
    initial_state,
    plan,
    step,
)
from voicefleet.scaling.estimators import ArrivalEstimator
from voicefleet.scaling.policies import POLICIES

pytestmark = pytest.mark.unit

SPEC = PoolSpec("eu", 1, 40, 4, 2, 60.0, policy="buffer")
NAMES = st.sampled_from(sorted(POLICIES))
COUNTS = st.integers(0, 300)


def pool(spec: PoolSpec, now_s: float, workers: tuple[Worker, ...], calls: SureCalls | None) -> PoolObservation:
    """Everything is known."""
    live, waiting, joining = (calls.live, calls.waiting, calls.joining) if calls else (None, None, None)
    return PoolObservation(spec, now_s, workers, live, waiting, joining, complete=calls is not None)


def partial(whole: PoolObservation, calls: SureCalls | None) -> PoolObservation:
    """The same pool, of whose calls only some are sure."""
    return dataclasses.replace(
        whole, calls_live=None, calls_waiting=None, calls_joining=None, complete=False, arrived=None, sure=calls
    )


def ready(count: int) -> tuple[Worker, ...]:
    return tuple(Worker(f"w{n}", SupplyState.READY, SPEC.slots, 0, age_s=999.0) for n in range(count))


@pytest.mark.parametrize("policy", ["predictive", "buffer"])
def test_sure_calls_grow_a_pool_whose_calls_are_not_known(policy: str) -> None:
    spec = dataclasses.replace(SPEC, policy=policy)
    seen = partial(pool(spec, 1.0, ready(2), None), SureCalls(8, 90, 2))
    _, decision = step(State(last=2, since_s=-1e6), seen)
    assert decision.desired >= 25
    assert (decision.reason, decision.may_shrink) == (Reason.PARTIAL, False)
    assert decision.detail.startswith("at least 8 live")
    assert "for those that are there for sure, and nothing is given up" in decision.detail
    assert (decision.inputs.sure, decision.inputs.live) == (100, None)
    actions = plan(seen, decision)
    assert actions.start == decision.desired - 2


def test_ten_thousand_who_wait_want_the_maximum_in_the_first_decision() -> None:
    spec = dataclasses.replace(SPEC, policy="predictive", max_workers=1_000)
    _, decision = step(State(last=2, since_s=-1e6), partial(pool(spec, 1.0, ready(2), None), SureCalls(8, 10_000, 0)))
    assert decision.desired == 1_000


def test_fewer_sure_calls_than_there_were_give_nothing_up() -> None:
    _, decision = step(State(last=9, since_s=-1e6), partial(pool(SPEC, 1.0, ready(9), None), SureCalls(1, 0, 0)))
    assert (decision.desired, decision.reason) == (9, Reason.UNKNOWN)
    assert plan(partial(pool(SPEC, 1.0, ready(12), None), SureCalls(1, 0, 0)), decision).cordon == ()


def test_without_a_word_of_redis_nothing_changes() -> None:
    state = State(last=3, since_s=-1e6)
    for now_s in range(1, 60):
        state, decision = step(state, partial(pool(SPEC, float(now_s), ready(3), None), None))
        assert (decision.desired, decision.reason) == (3, Reason.UNKNOWN)


def test_late_starts_do_not_ratchet_a_pool_up_while_its_calls_are_not_known() -> None:
    """What is not counted on is in what is kept already: it must not be added again with each look."""
    spec = dataclasses.replace(SPEC, policy="predictive", max_workers=400)
    late = tuple(Worker(f"s{n}", SupplyState.STARTING, SPEC.slots, 0, age_s=500.0) for n in range(3))
    state = State(last=10, learned=PolicyState(arrivals=ArrivalEstimator()), since_s=-1e6)
    wanted = []
    for now_s in range(1, 200, 2):
        seen = partial(pool(spec, float(now_s), (*ready(10), *late), None), SureCalls(30, 0, 0))
        state, decision = step(state, seen)
        wanted.append(decision.desired)
    assert wanted[-1] == wanted[5] < 40


def workers() -> st.SearchStrategy[tuple[Worker, ...]]:
    one = st.builds(
        Worker,
        id=st.uuids().map(str),
        state=st.sampled_from(list(SupplyState)),
        slots=st.just(SPEC.slots),
        live=st.integers(0, SPEC.slots),
        age_s=st.floats(0, 600),
        silent_s=st.floats(0, 60),
        cordoned=st.booleans(),
    )
    return st.lists(one, max_size=20, unique_by=lambda w: w.id).map(tuple)


@settings(deadline=None, max_examples=300)
@given(
    NAMES,
    st.integers(0, 5),
    st.integers(0, 60),
    workers(),
    st.builds(SureCalls, COUNTS, COUNTS, COUNTS),
    st.builds(SureCalls, st.integers(0, 50), st.integers(0, 50), st.integers(0, 50)),
    st.integers(0, 65),
    st.floats(0, 100),
)
def test_partial_knowledge_never_wants_less(
    policy: str,
    least: int,
    more: int,
    there: tuple[Worker, ...],
    before: SureCalls,
    calls: SureCalls,
    found: int,
    pause_s: float,
) -> None:
    """Never less than before or than what serves, never less than the very same calls would get if all were known;
    within bounds; and it never may shrink."""
    spec = dataclasses.replace(SPEC, policy=policy, min_workers=least, max_workers=least + more, fixed=least)
    state, _ = step(initial_state(0.0, found), pool(spec, 1.0, there, before))
    whole = dataclasses.replace(pool(spec, 2.0 + pause_s, there, calls), ages_s=np.linspace(1.0, 300.0, calls.live))
    _, known = step(state, whole)
    _, unsure = step(state, partial(whole, calls))
    assert known.desired <= unsure.desired
    assert spec.min_workers <= unsure.desired <= spec.max_workers
    assert not unsure.may_shrink
    if not any(w.stuck for w in there):
        assert unsure.desired >= min(max(state.last or 0, whole.supply), spec.max_workers)
    actions = plan(partial(whole, calls), unsure)
    assert not actions.cordon
    assert not actions.retire


@settings(deadline=None, max_examples=150)
@given(NAMES, st.lists(st.tuples(st.none() | COUNTS, st.floats(0.1, 30)), min_size=1, max_size=25))
def test_no_history_of_partial_looks_shrinks_a_pool(policy: str, looks: list[tuple[int | None, float]]) -> None:
    spec = dataclasses.replace(SPEC, policy=policy, max_workers=90)
    state, now_s, last = State(last=3, since_s=-1e6), 0.0, 3
    for calls, pause_s in looks:
        now_s += pause_s
        sure = None if calls is None else SureCalls(calls // 2, calls - calls // 2, 0)
        state, decision = step(state, partial(pool(spec, now_s, ready(3), None), sure))
        assert last <= decision.desired <= 90
        last = decision.desired
