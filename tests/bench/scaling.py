"""How fast the scaler is: a live step for fifty pools, and a simulated day of 100,000 calls."""

from __future__ import annotations

import time

import numpy as np
from bench.row import Row

from voicefleet.contract.pools import PoolSpec
from voicefleet.scaling import PoolObservation, SupplyState, Worker, initial_state, plan, step
from voicefleet.simulator.compare import play
from voicefleet.simulator.world import World
from voicefleet.traffic.durations import CallLaw
from voicefleet.traffic.profiles import generate

POOLS, LIVE, STEP_BOUND_S, DAY_CALLS, DAY_BOUND_S = 50, 200, 0.020, 100_000, 5.0


def step_speed(quick: bool, command: str) -> Row:
    """Median CPU time of `step` and `plan` for fifty pools of 200 live calls."""
    spec = PoolSpec("bench", 1, 100, 10, 0, 0.0, policy="predictive")
    workers = tuple(Worker(f"w{n}", SupplyState.READY, 10, 8, age_s=999.0) for n in range(25))
    ages = np.random.default_rng(1).uniform(1, 400, LIVE)
    states = [initial_state(0.0, 25) for _ in range(POOLS)]
    taken = []
    for tick in range(1, 20 if quick else 200):
        seen = PoolObservation(spec, 2.0 * tick, workers, LIVE, 0, 0, True, arrived=2 * tick, ages_s=ages)
        began = time.process_time()
        for place, state in enumerate(states):
            states[place], decision = step(state, seen)
            plan(seen, decision)
        taken.append(time.process_time() - began)
    median_s = float(np.median(taken))
    values = {"pools": POOLS, "step_p50_s": round(median_s, 5), "step_p95_s": round(float(np.quantile(taken, 0.95)), 5)}
    return Row("step_speed", len(taken), values, _verdict(median_s, STEP_BOUND_S), command, bound=STEP_BOUND_S)


def simulate_speed(quick: bool, command: str) -> Row:
    """CPU time of a day of 100,000 calls with our policy (quick: a tenth of one)."""
    share = 10 if quick else 1
    law = CallLaw()
    trace = generate("diurnal", mean_live=DAY_CALLS * law.mean_s / 86_400, calls=DAY_CALLS // share, law=law, seed=1)
    began = time.process_time()
    outcome = play(trace, World(), "voicefleet", 0.001)
    day_s = (time.process_time() - began) * share
    values = {"calls": len(trace), "day_cpu_s": round(day_s, 2), "cost_ratio": round(outcome.cost_ratio, 3)}
    return Row("simulate_speed", 1, values, _verdict(day_s, DAY_BOUND_S), command, bound=DAY_BOUND_S)


def _verdict(value: float, bound: float) -> str:
    return "met" if value <= bound else "missed"
