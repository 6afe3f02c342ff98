"""Models of other systems' policies against known cases of their sources: tolerance, rate limits, panic, buffers."""

from __future__ import annotations

import dataclasses

import pytest

from voicefleet.simulator.baselines import hpa
from voicefleet.simulator.baselines.agones import CounterBuffer
from voicefleet.simulator.baselines.base import View, replica_set_order
from voicefleet.simulator.baselines.hpa import Behavior, CallsHpa, CpuHpa
from voicefleet.simulator.baselines.knative import Kpa
from voicefleet.simulator.baselines.simple import DelayedOff, PipecatReserve, RateTimesStart, Static
from voicefleet.simulator.cluster.pods import READY, STARTING, Pod

pytestmark = pytest.mark.unit


def view(replicas: int, served: int, waiting: int = 0, **more: object) -> View:
    busy = tuple([served // replicas] * replicas) if replicas else ()
    base = View(replicas, replicas, served, waiting, 0, 10, busy, (999.0,) * replicas, 1, 1000)
    return dataclasses.replace(base, **more)  # type: ignore[arg-type]


class TestHpaOnCalls:
    def test_within_the_tolerance_nothing_moves(self) -> None:
        policy = CallsHpa("x")
        assert policy.decide(0, view(10, 109)) == 10
        assert CallsHpa("x").decide(0, view(10, 111)) == 12
        assert CallsHpa("x").decide(0, view(10, 90)) == 10

    def test_a_formula_of_served_calls_alone_locks_a_full_fleet(self) -> None:
        """1 + B/(K R) <= 1.1 once K R >= 10 B: callers wait, and nothing grows."""
        full = view(10, 100, waiting=50)
        assert hpa.dograh(9).decide(0, full) == 10
        assert hpa.keda(9).decide(0, full) == 16

    def test_down_only_to_the_highest_recommendation_of_300_s(self) -> None:
        policy = CallsHpa("x")
        assert policy.decide(0, view(10, 100)) == 10
        assert policy.decide(15, view(10, 50)) == 10
        assert policy.decide(299, view(10, 50)) == 10
        assert policy.decide(301, view(10, 50)) == 5

    def test_the_size_found_is_the_first_recommendation(self) -> None:
        assert CallsHpa("x").decide(0, view(10, 20)) == 10

    def test_raw_recommendations_are_kept_not_the_limited_ones(self) -> None:
        policy = CallsHpa("x", behavior=Behavior(up_percent=10, up_pods=1))
        assert policy.decide(0, view(10, 400)) == 11  # wanted 40, allowed 11
        assert policy.decide(250, view(11, 30)) == 11  # 40 is remembered: nothing goes down, nor up without need
        assert policy.decide(310, view(11, 30)) == 3

    def test_up_at_most_double_or_four_in_15_s_from_the_size_at_the_periods_start(self) -> None:
        policy = CallsHpa("x")
        assert policy.decide(0, view(2, 1000)) == 6
        assert policy.decide(5, view(6, 1000)) == 6  # the same period: counted from 2
        assert policy.decide(20, view(6, 1000)) == 12

    def test_down_one_pod_a_minute_after_600_s(self) -> None:
        policy = hpa.dograh(0)
        policy.decide(0, view(10, 100))
        assert policy.decide(599, view(10, 10)) == 10
        assert policy.decide(601, view(10, 10)) == 9
        assert policy.decide(616, view(9, 10)) == 9
        assert policy.decide(662, view(9, 10)) == 8

    def test_bounds_come_last_and_errors_hold(self) -> None:
        assert CallsHpa("x").decide(0, view(10, 5000, max_replicas=15)) == 15
        assert CallsHpa("x").decide(0, view(10, 5000, error=True)) is None
        assert CallsHpa("x").decide(0, view(0, 0)) is None


class TestHpaOnCpu:
    def test_the_ratio_moves_the_ready_pods(self) -> None:
        assert CpuHpa("x", target=0.5).decide(0, view(10, 100)) == 20  # 100 % against 50 %
        assert CpuHpa("x", target=0.5).decide(0, view(10, 50)) == 10  # 51.5 % is within the tolerance

    def test_pods_that_are_not_measured_yet_count_as_idle_on_the_way_up(self) -> None:
        young = view(20, 100, busy=(10,) * 10 + (0,) * 10, ready_ages_s=(999.0,) * 10 + (5.0,) * 10)
        assert CpuHpa("x", target=0.5).decide(0, young) == 20
        assert CpuHpa("x", target=0.5).decide(0, view(20, 100, busy=(0,) * 20, ready_ages_s=(5.0,) * 20)) is None


class TestKnative:
    def test_a_steady_load_needs_ceil_of_load_over_target(self) -> None:
        policy = Kpa()
        wanted = [policy.decide(t, view(15, 100)) for t in range(0, 200, 2)]
        assert wanted[-1] == 15  # 100 / 7, rounded up

    def test_a_new_one_with_pods_begins_in_panic_and_keeps_them(self) -> None:
        policy = Kpa()
        assert policy.decide(0, view(8, 0)) == 8
        assert policy.decide(58, view(8, 0)) == 8
        assert policy.decide(62, view(8, 0)) == 4  # floor(8 / 2): at most half in one step

    def test_panic_at_twice_what_is_ready_and_no_way_down_meanwhile(self) -> None:
        policy = Kpa()
        for t in range(0, 120, 2):
            policy.decide(t, view(1, 5))
        for t in range(120, 128, 2):
            risen = policy.decide(t, view(1, 100))
        assert risen == 15
        for t in range(128, 180, 2):
            held = policy.decide(t, view(15, 5))
        assert held == 15
        for t in range(180, 320, 2):
            after = policy.decide(t, view(15, 5))
        assert after == 7  # floor(15 / 2)

    def test_no_data_is_no_decision(self) -> None:
        assert Kpa().decide(0, view(5, 10, error=True)) is None


class TestAgones:
    def test_free_capacity_is_kept_at_the_buffer(self) -> None:
        assert CounterBuffer(20).decide(0, view(10, 95)) == 12  # 5 free, 15 short
        assert CounterBuffer(20).decide(0, view(10, 80)) == 10
        assert CounterBuffer(20).decide(0, view(10, 55)) == 8  # 45 free: two may go, 25 are left
        assert CounterBuffer(20).decide(0, view(10, 95, ready=2)) == 12  # pending servers count as capacity

    def test_at_most_64_at_once_and_never_none(self) -> None:
        assert CounterBuffer(10_000).decide(0, view(10, 0)) == 74
        assert CounterBuffer(0).decide(0, view(10, 0)) == 1

    def test_allocated_servers_are_never_deleted(self) -> None:
        pods = [Pod(n, 0.0) for n in range(3)]
        for pod, busy in zip(pods, (0, 3, 0), strict=True):
            pod.state, pod.busy, pod.ready_s = READY, busy, float(pod.ordinal)
        assert CounterBuffer(0).idle_only
        assert [p.ordinal for p in replica_set_order(pods, idle_only=True)] == [2, 0]


def test_a_replica_set_deletes_unready_pods_first_then_the_newest() -> None:
    pods = [Pod(n, float(n)) for n in range(4)]
    for pod in pods[:3]:
        pod.state, pod.ready_s = READY, 10.0 + pod.ordinal
    assert pods[3].state == STARTING
    assert [p.ordinal for p in replica_set_order(pods)] == [3, 2, 1, 0]


def test_pipecats_reserve_is_the_larger_of_baseline_and_half_a_minute_of_calls() -> None:
    policy = PipecatReserve(10)
    assert policy.decide(0, view(10, 100)) == 11
    assert policy.decide(60, view(10, 100, arrived=120)) == 16  # 2 calls/s * 30 s = 60
    assert policy.decide(120, view(10, 0, arrived=120)) == 16
    assert policy.decide(400, view(16, 0, arrived=120)) == 1


def test_baselines() -> None:
    assert Static(7).decide(0, view(3, 100)) == 7
    policy = RateTimesStart(35)
    policy.decide(0, view(10, 100))
    assert policy.decide(30, view(10, 100, arrived=30)) == 14
    off = DelayedOff(35)
    assert off.decide(0, view(1, 95)) == 10
    assert off.decide(34, view(10, 5)) == 10
    assert off.decide(36, view(10, 5)) == 1
