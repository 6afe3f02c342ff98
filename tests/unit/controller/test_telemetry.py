"""What a pool tells of itself; the half hour behind it; who gave up."""

from __future__ import annotations

import dataclasses

import pytest

from voicefleet.contract.metrics.kinds import LATENCY_S
from voicefleet.contract.pools import PoolSpec
from voicefleet.controller.history import TtfaWindow
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.telemetry import PoolTelemetry
from voicefleet.scaling import Decision, PoolObservation, SupplyState
from voicefleet.scaling.decision import Reason
from voicefleet.scaling.observation import Worker

pytestmark = pytest.mark.unit

SPEC = PoolSpec(region="eu", min_workers=0, max_workers=4, slots=2, buffer=1, hold_s=10)


def seen(now_s: float, *workers: Worker, complete: bool = True) -> PoolObservation:
    return PoolObservation(SPEC, now_s, workers, 1, 0, 0, complete)


def decided(**inputs: float | int | str | None) -> Decision:
    return Decision(2, Reason.CALLS, "because", inputs)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, {"region": "eu", **labels})


def test_a_decisions_numbers_are_signals_and_unknown_ones_vanish() -> None:
    metrics = Metrics()
    told = PoolTelemetry(metrics)
    told.tell(seen(0.0), decided(live=3, waiting=1, policy="buffer", forecast=None))
    assert value(metrics, "voicefleet_scaler_signal", signal="live") == 3
    assert value(metrics, "voicefleet_scaler_signal", signal="policy") is None
    told.tell(seen(1.0), decided(live=None, waiting=2))
    assert value(metrics, "voicefleet_scaler_signal", signal="live") is None, "unknown is not zero"
    assert value(metrics, "voicefleet_scaler_signal", signal="waiting") == 2


def test_a_chance_to_wait_is_told_where_a_policy_reckons_it() -> None:
    metrics = Metrics()
    told = PoolTelemetry(metrics)
    told.tell(seen(0.0), decided(live=3))
    assert value(metrics, "voicefleet_scaler_wait_probability") is None
    told.tell(seen(1.0), decided(live=3, wait_probability=0.02))
    assert value(metrics, "voicefleet_scaler_wait_probability") == 0.02
    assert value(metrics, "voicefleet_scaler_signal", signal="wait_probability") is None


def test_a_drain_is_timed_from_the_order_to_the_end() -> None:
    metrics = Metrics()
    told = PoolTelemetry(metrics)
    worker = Worker("w1", SupplyState.DRAINING, 2, 1)
    told.tell(seen(10.0, worker), decided())
    told.tell(seen(40.0, dataclasses.replace(worker, state=SupplyState.STOPPING)), decided())
    assert value(metrics, "voicefleet_drain_oldest_seconds") == 30
    told.tell(seen(50.0, complete=False), decided())
    assert value(metrics, "voicefleet_drain_seconds_count") is None, "not seen is not ended"
    told.tell(seen(60.0), decided())
    assert value(metrics, "voicefleet_drain_seconds_sum") == 50
    assert value(metrics, "voicefleet_drain_oldest_seconds") == 0


def test_a_worker_that_is_called_back_has_not_drained() -> None:
    metrics = Metrics()
    told = PoolTelemetry(metrics)
    told.tell(seen(0.0, Worker("w1", SupplyState.DRAINING, 2, 0)), decided())
    told.tell(seen(5.0, Worker("w1", SupplyState.READY, 2, 0)), decided())
    told.tell(seen(9.0), decided())
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
