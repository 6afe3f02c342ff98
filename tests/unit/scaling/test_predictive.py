"""The predictive policy and its guardrails, decision by decision."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from voicefleet.contract.pools import PoolSpec
from voicefleet.scaling import (
    Campaign,
    PolicyState,
    PoolObservation,
    Reason,
    State,
    SupplyState,
    Worker,
    initial_state,
    plan,
    step,
)
from voicefleet.scaling.estimators import ArrivalEstimator, StartTimeEstimator
from voicefleet.scaling.policies.predictive import allowed

pytestmark = pytest.mark.unit

SPEC = PoolSpec("eu", 1, 100, 10, 0, 0.0, policy="predictive")


def steady(rate: float) -> PolicyState:
    """A learned of an hour at `rate` calls a second, with starts of 35 s."""
    rng = np.random.default_rng(1)
    arrivals = ArrivalEstimator()
    for count in rng.poisson(rate * 2.0, 1_800):
        arrivals = arrivals.learn(int(count), 2.0)
    starts = StartTimeEstimator().learn(rng.lognormal(np.log(35), 0.25, 40).tolist())
    return PolicyState(arrivals=arrivals, starts=starts)


def pool(now_s: float, live: int, ready: int, *, starting: int = 0, **more: object) -> PoolObservation:
    workers = [Worker(f"w{n}", SupplyState.READY, 10, 0, age_s=999) for n in range(ready)]
    workers += [Worker(f"s{n}", SupplyState.STARTING, 10, 0, age_s=5.0) for n in range(starting)]
    given = {"ages_s": np.linspace(1, 300, live), "arrived": 0, **more}
    return PoolObservation(SPEC, now_s, tuple(workers), live, 0, 0, complete=True, **given)  # type: ignore[arg-type]


def settled(learned: PolicyState, found: int) -> State:
    """Well after a change of leader."""
    return State(last=found, learned=learned, since_s=-1e6, found=found)


def test_it_says_why_in_numbers() -> None:
    _, decision = step(settled(steady(0.7), 14), pool(0, 120, 14))
    assert decision.reason is Reason.CALLS
    assert decision.detail.startswith("120 live, ")
    for part in ("expected to end", "to arrive in", "P(wait) = 0.", "on average <= 0.001"):
        assert part in decision.detail
    risk = decision.inputs.wait_probability
    assert isinstance(risk, float)
    assert 0 < risk < 0.01


def test_more_calls_need_more_workers_and_fewer_fewer() -> None:
    state = settled(steady(0.7), 14)
    wanted = [step(state, pool(0, live, 14))[1].desired for live in (60, 100, 120, 140, 170)]
    assert wanted == sorted(wanted)
    assert wanted[-1] > wanted[0]
    assert wanted[2] < 120 / 10 * 1.4, "120 calls do not need 17 workers"


@pytest.mark.parametrize("slots", [1, 2, 4, 10])
def test_a_fresh_pool_that_nobody_calls_stays_at_its_minimum(slots: int) -> None:
    """All it has is a prior, and a guess is no reason for workers."""
    for least in (0, 1, 3):
        spec = dataclasses.replace(SPEC, slots=slots, max_workers=8, min_workers=least)
        state, wanted = initial_state(0.0, 0), set()
        for tick in range(300):
            workers = tuple(Worker(f"w{n}", SupplyState.READY, slots, 0, age_s=2.0 * tick) for n in range(least))
            seen = dataclasses.replace(
                pool(2.0 * tick, 0, 0), spec=spec, workers=workers, started_s=(3.0,) * (tick == 2)
            )
            state, decision = step(state, seen)
            wanted.add(decision.desired)
        assert wanted == {max(least, 1)}


def test_one_call_is_no_rate() -> None:
    spec = dataclasses.replace(SPEC, slots=4, max_workers=20, min_workers=1)
    for first in (2, 5, 15, 60):
        state, most = initial_state(0.0, 1), 0
        for tick in range(first + 30):
            calls = int(tick >= first)
            seen = dataclasses.replace(pool(2.0 * tick, calls, 1), spec=spec, arrived=calls)
            state, decision = step(state, seen)
            most = max(most, decision.desired)
        assert most <= 3, f"first call at {2 * first} s"


def test_many_calls_at_once_are_one() -> None:
    """A fresh pool that is called in earnest grows at once."""
    spec = dataclasses.replace(SPEC, slots=4, max_workers=20, min_workers=1)
    state, wanted = initial_state(0.0, 1), 1
    for tick in range(6):
        calls = 2 * tick
        seen = dataclasses.replace(pool(2.0 * tick, calls, wanted), spec=spec, arrived=calls)
        state, decision = step(state, seen)
        wanted = decision.desired
    assert wanted >= 8


def test_the_first_start_says_how_long_starts_take() -> None:
    state = initial_state(0.0, 0)
    state, _ = step(state, pool(0.0, 0, 1))
    before = state.learned.tables
    state, _ = step(state, pool(2.0, 0, 1, started_s=(3.0,)))
    after = state.learned.tables
    assert before is not None
    assert after is not None
    assert after.horizons_s[0] < 0.6 * before.horizons_s[0]


def test_a_stricter_promise_costs_workers() -> None:
    state = settled(steady(0.7), 14)
    observation = pool(0, 120, 14)
    strict = dataclasses.replace(observation, spec=dataclasses.replace(SPEC, wait_ratio=1e-6))
    assert step(state, strict)[1].desired > step(state, observation)[1].desired


def test_slower_starts_cost_workers() -> None:
    slow = dataclasses.replace(steady(0.7), starts=StartTimeEstimator().learn([300.0] * 40))
    assert (
        step(settled(slow, 14), pool(0, 120, 14))[1].desired
        > step(settled(steady(0.7), 14), pool(0, 120, 14))[1].desired
    )


def test_the_mean_risk_over_whole_workers_is_the_one_allowed() -> None:
    """A threshold on a risk that falls by a factor f from one worker to the next, at a random place between two."""
    factor = 40.0
    top = allowed(0.001, 1e-5, 1e-5 * factor)
    place = np.random.default_rng(1).random(100_000)
    assert np.mean(top * factor ** (-place)) == pytest.approx(0.001, rel=0.02)
    assert allowed(0.001, 0.5, 0.5) == 0.001


def test_a_campaign_is_staffed_before_it_begins() -> None:
    state = settled(steady(0.7), 14)
    soon = Campaign(start_s=30.0, end_s=930.0, rate=3.0)
    quiet = step(state, pool(0, 120, 14))[1].desired
    assert step(state, pool(0, 120, 14, campaigns=(soon,)))[1].desired > quiet
    later = dataclasses.replace(soon, start_s=600.0, end_s=900.0)
    assert step(state, pool(0, 120, 14, campaigns=(later,)))[1].desired == quiet
    over = dataclasses.replace(soon, start_s=-900.0, end_s=-1.0)
    assert step(state, pool(0, 120, 14, campaigns=(over,)))[1].desired == quiet


def test_without_ages_a_pool_in_balance_is_assumed() -> None:
    state = settled(steady(0.7), 14)
    known = step(state, pool(0, 120, 14))[1].desired
    assert abs(step(state, pool(0, 120, 14, ages_s=None))[1].desired - known) <= 2


def test_unknown_calls_keep_what_there_is() -> None:
    observation = dataclasses.replace(pool(0, 120, 14), calls_live=None, complete=False)
    _, decision = step(settled(steady(0.7), 14), observation)
    assert (decision.desired, decision.reason, decision.may_shrink) == (14, Reason.UNKNOWN, False)
    assert "the number of calls is unknown" in decision.detail


def test_a_new_leader_keeps_what_it_found_for_a_minute() -> None:
    state = initial_state(0.0, 20)
    _, decision = step(state, pool(1.0, 10, 20))
    assert (decision.desired, decision.reason) == (20, Reason.LEADER)
    _, decision = step(dataclasses.replace(state, learned=steady(0.05)), pool(61.0, 10, 20))
    assert decision.desired < 20


def test_one_decision_takes_at_most_a_tenth_or_five_away() -> None:
    _, decision = step(settled(steady(0.001), 80), pool(0, 0, 80))
    assert (decision.desired, decision.reason) == (72, Reason.RATE)


def test_one_decision_at_most_doubles_a_pool_unless_callers_need_it_now() -> None:
    flood = pool(0, 100, 12, campaigns=(Campaign(0, 900, 30.0),))
    assert step(settled(steady(0.7), 12), flood)[1].desired == 24
    waiting = dataclasses.replace(pool(0, 0, 1), calls_waiting=400)
    assert step(settled(steady(0.7), 1), waiting)[1].desired >= 40


def test_the_schedule_is_a_floor() -> None:
    _, decision = step(settled(steady(0.1), 5), pool(0, 10, 5, floor=9))
    assert (decision.desired, decision.reason) == (9, Reason.SCHEDULE)
    assert "the schedule asks for 9" in decision.detail


def test_a_worker_that_takes_far_too_long_is_not_counted_on() -> None:
    learned = steady(0.7)
    fine = pool(0, 120, 13, starting=1)
    want = step(settled(learned, 14), fine)[1].desired
    late = dataclasses.replace(
        fine, workers=(*fine.workers[:-1], dataclasses.replace(fine.workers[-1], age_s=200.0)), start_timeout_s=900.0
    )
    _, decision = step(settled(learned, 14), late)
    assert (decision.desired, decision.reason) == (want + 1, Reason.OVERDUE)
    assert "1 starting for longer than usual" in decision.detail


def test_if_every_start_is_late_the_churn_is_bounded() -> None:
    workers = [Worker(f"w{n}", SupplyState.READY, 10, 0, age_s=999) for n in range(10)]
    workers += [Worker(f"s{n}", SupplyState.STARTING, 10, 0, age_s=500.0) for n in range(10)]
    observation = dataclasses.replace(pool(0, 80, 0), workers=tuple(workers), start_timeout_s=900.0)
    _, decision = step(settled(steady(0.5), 10), observation)
    assert decision.desired <= 10 + 10 + 4


def test_no_more_are_asked_for_than_there_are_machines() -> None:
    crowded = pool(0, 120, 10)
    stuck = Worker("s0", SupplyState.STARTING, 10, 0, age_s=30.0, stuck=True)
    observation = dataclasses.replace(crowded, workers=(*crowded.workers, stuck))
    _, decision = step(settled(steady(0.7), 11), observation)
    assert (decision.desired, decision.reason) == (11, Reason.UNSCHEDULABLE)
    assert "no machine for 1 of 11 workers" in decision.detail
    assert plan(observation, decision).start == 0


def test_a_pool_that_never_saw_a_call_is_not_filled_with_workers() -> None:
    """A guess of ten seconds would want 12 slots for nobody."""
    observation = pool(2.0, 0, 1)
    _, decision = step(State(since_s=-1e6), observation)
    assert decision.desired == 1
    small = dataclasses.replace(observation, spec=dataclasses.replace(SPEC, slots=4))
    assert step(State(since_s=-1e6), small)[1].desired <= 2
    # One call is enough to be careful again.
    came = dataclasses.replace(pool(2.0, 1, 1), arrived=1)
    assert step(State(since_s=-1e6), dataclasses.replace(came, spec=small.spec))[1].desired >= 2
