"""The metrics of a pool, its last half hour, and the callers who gave up."""

from __future__ import annotations

import dataclasses

import pytest

from voicefleet.contract.decisions import DecisionInputs
from voicefleet.contract.metrics.kinds import LATENCY_S
from voicefleet.contract.pools import PoolSpec
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.pool.telemetry import PoolTelemetry
from voicefleet.controller.regions.history import TtfaWindow
from voicefleet.controller.settings.pool import PoolSettings
from voicefleet.scaling import Decision, PoolObservation, SupplyState, initial_state, step
from voicefleet.scaling.decision import Reason
from voicefleet.scaling.observation import Worker
from voicefleet.scaling.policies import POLICIES, Policy

pytestmark = pytest.mark.unit

SPEC = PoolSpec(region="eu", min_workers=0, max_workers=4, slots=2, buffer=1, scale_down_delay_s=10)


def seen(now_s: float, *workers: Worker, complete: bool = True) -> PoolObservation:
    return PoolObservation(SPEC, now_s, workers, 1, 0, 0, complete)


def decided(inputs: DecisionInputs | None = None) -> Decision:
    return Decision(2, Reason.CALLS, "because", inputs or DecisionInputs())


def made_by(policy: str) -> PoolObservation:
    """One worker and one call, in a pool of that policy."""
    spec = PoolSpec(
        region="eu", min_workers=0, max_workers=4, slots=2, buffer=1, scale_down_delay_s=0, policy=policy, fixed=1
    )
    return PoolObservation(spec, 0.0, (Worker("w1", SupplyState.READY, 2, 1),), 1, 0, 0, True)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, {"region": "eu", **labels})


def test_a_decisions_numbers_are_signals_and_unknown_ones_vanish() -> None:
    metrics = Metrics()
    telemetry = PoolTelemetry(metrics)
    telemetry.record(seen(0.0), decided(DecisionInputs(live=3, waiting=1)))
    assert value(metrics, "voicefleet_scaler_signal", signal="live") == 3
    assert value(metrics, "voicefleet_scaler_signal", signal="come") is None
    telemetry.record(seen(1.0), decided(DecisionInputs(live=None, waiting=2)))
    assert value(metrics, "voicefleet_scaler_signal", signal="live") is None, "unknown is not zero"
    assert value(metrics, "voicefleet_scaler_signal", signal="waiting") == 2


def test_the_chance_to_wait_has_a_series_under_the_default_policy_and_none_while_it_is_unknown() -> None:
    metrics = Metrics()
    telemetry, observation = PoolTelemetry(metrics), made_by(PoolSettings().policy)
    state, decision = step(initial_state(0.0, 1), observation)
    telemetry.record(observation, decision)
    assert decision.inputs.wait_probability is not None
    assert value(metrics, "voicefleet_scaler_wait_probability") == decision.inputs.wait_probability
    assert value(metrics, "voicefleet_scaler_signal", signal="wait_probability") is None, "it has a metric of its own"
    later = dataclasses.replace(observation, now_s=2.0, calls_live=None, calls_waiting=None, calls_joining=None)
    telemetry.record(later, step(state, dataclasses.replace(later, complete=False))[1])
    assert value(metrics, "voicefleet_scaler_wait_probability") is None


@pytest.mark.parametrize("policy", POLICIES.values(), ids=lambda p: p.name)
def test_every_number_is_one_that_the_policy_tells_or_says_that_it_does_not(policy: Policy) -> None:
    _, decision = step(initial_state(0.0, 1), made_by(policy.name))
    every = {field.name for field in dataclasses.fields(DecisionInputs)}
    assert every - decision.inputs.numbers().keys() == policy.not_reckoned


def test_a_drain_is_timed_from_the_order_to_the_end() -> None:
    metrics = Metrics()
    telemetry = PoolTelemetry(metrics)
    worker = Worker("w1", SupplyState.DRAINING, 2, 1)
    telemetry.record(seen(10.0, worker), decided())
    telemetry.record(seen(40.0, dataclasses.replace(worker, state=SupplyState.STOPPING)), decided())
    assert value(metrics, "voicefleet_drain_oldest_seconds") == 30
    telemetry.record(seen(50.0, complete=False), decided())
    assert value(metrics, "voicefleet_drain_seconds_count") is None, "not seen is not ended"
    telemetry.record(seen(60.0), decided())
    assert value(metrics, "voicefleet_drain_seconds_sum") == 50
    assert value(metrics, "voicefleet_drain_oldest_seconds") == 0


def test_a_worker_that_is_called_back_has_not_drained() -> None:
    metrics = Metrics()
    telemetry = PoolTelemetry(metrics)
    telemetry.record(seen(0.0, Worker("w1", SupplyState.DRAINING, 2, 0)), decided())
    telemetry.record(seen(5.0, Worker("w1", SupplyState.READY, 2, 0)), decided())
    telemetry.record(seen(9.0), decided())
    assert value(metrics, "voicefleet_drain_seconds_count") is None


def counts(**at: int) -> list[int]:
    """Turns by bucket: ``counts(b3=2)`` are two in the fourth."""
    made = [0] * (len(LATENCY_S) + 1)
    for name, count in at.items():
        made[int(name[1:])] = count
    return made


def test_ttfa_of_the_last_minute_over_all_workers() -> None:
    window = TtfaWindow()
    window.add(0.0, {"a": counts(b3=5)})
    assert window.quantile(0.5) == pytest.approx(0.35)
    window.add(5.0, {"a": counts(b3=5, b7=5), "b": counts(b7=10)})
    assert window.quantile(0.95) == pytest.approx(0.8 + 0.2 * 14 / 15)
    window.add(64.0, {"a": counts(b3=5, b7=5), "b": counts(b7=10)})
    assert window.quantile(0.5) == pytest.approx(0.9), "the first five are older than a minute"
    window.add(70.0, {"a": counts(b3=5, b7=5), "b": counts(b7=10)})
    assert window.quantile(0.5) is None


def test_a_worker_that_began_anew_counts_from_zero() -> None:
    window = TtfaWindow()
    window.add(0.0, {"a": counts(b3=5)})
    window.add(61.0, {"a": counts(b3=1)})
    assert window.quantile(0.5) == pytest.approx(0.35)
    window.add(62.0, {"a": [1, 2]})  # of a release with other buckets
    assert window.quantile(0.5) == pytest.approx(0.35)
