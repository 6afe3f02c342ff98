"""Whether the simulator tells the truth: the same calls through a fleet of real processes, and through the model.

The fleet runs first. When its callers came, and how long they stayed, is the trace that the model is given, with the
start times the fleet was seen to need.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
from bench.health import Health
from bench.row import Row, say
from bench.stand import TIERS
from numpy.typing import NDArray
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from voicefleet.callers.outcome import CallOutcome
from voicefleet.callers.swarm import SwarmSettings, run_swarm
from voicefleet.contract.api import CallRequest, CallTicket
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.metrics.controller import CALL_WAIT, SCALER_STARTUP
from voicefleet.contract.pools import PoolSpec
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.simulator.engine import run
from voicefleet.simulator.outcome import Outcome
from voicefleet.simulator.voicefleet_policy import VoicefleetPolicy
from voicefleet.simulator.world import World
from voicefleet.speech.clips import load_utterances
from voicefleet.stack.fleet import PoolShape, WorkerOptions, running_fleet
from voicefleet.traffic.arrivals import poisson
from voicefleet.traffic.traces import Trace

REGION, TICK_S, SLOTS, MIN_WORKERS, MAX_WORKERS, TURNS = "eu", 0.5, 2, 1, 6, 3
RATE_PER_S = 0.08
"""Mean; it swells and falls so that the fleet grows and shrinks."""
SWELL_S = 300.0
BOUND = 1.10
"""Worker-seconds of the fleet by those of the model, or the other way round."""
WAITED_S = 2.0
"""A call without an agent for longer has waited, as the SLO has it: in the fleet and in the model."""
RUNS = 40
_SAMPLE_S, _READY_LIMIT_S = 0.25, 60.0


@dataclass(slots=True)
class Seen:
    """What the fleet did."""

    outcomes: list[CallOutcome] = field(default_factory=list)
    workers: list[tuple[float, int]] = field(default_factory=list)
    """Monotonic time -> workers that were there, starting and draining ones too."""
    began_s: float = 0.0
    start_s: float = math.nan
    waited: int = 0
    """By the controller: at the ear a greeting that is late on a busy machine would look the same."""

    def trace(self) -> Trace:
        """The calls, from the moment a caller asked for one to the end."""
        found = sorted(
            (o.joined_at_s - o.place_s - self.began_s, o.ended_s + o.place_s)
            for o in self.outcomes
            if o.joined_at_s is not None
        )
        arrivals, durations = np.array(found).T
        return Trace("seen", np.maximum(arrivals, 0.0), durations)

    def worker_s(self, until_s: float) -> float:
        """Worker-seconds between the first call's time 0 and `until_s` of it."""
        total = 0.0
        for (at_s, count), (next_s, _) in zip(self.workers, self.workers[1:], strict=False):
            begin, end = max(at_s, self.began_s), min(next_s, self.began_s + until_s)
            total += count * max(0.0, end - begin)
        return total


async def simulation_reality(seconds: float, command: str) -> Row:
    """Callers come for `seconds`, at random."""
    health = Health()
    seen = await _live(seconds, health)
    trace = seen.trace()
    until_s = float((trace.arrivals_s + trace.durations_s).max())
    runs = [_simulated(trace, seen.start_s, seed) for seed in range(1, RUNS + 1)]
    model_s = np.array([one.worker_hours * 3600 for one in runs])
    fleet_s = seen.worker_s(until_s)
    ratio = fleet_s / float(model_s.mean())
    model_waited = float(np.mean([one.waited for one in runs]))
    # Both counts are of rare, more or less independent events.
    noise = 2 * math.sqrt(seen.waited + model_waited + 1)
    failed = [o.call_id for o in seen.outcomes if o.error or o.silent or o.cut]
    if failed:
        health.complaints.append(f"{len(failed)} calls failed, were silent or cut: {', '.join(failed[:5])}")
    agrees = max(ratio, 1 / ratio) <= BOUND and abs(seen.waited - model_waited) <= noise
    void = health.void()
    low, high = np.quantile(model_s, (0.025, 0.975))
    return Row(
        name="simulation_reality",
        n=len(seen.outcomes),
        values={
            "seconds": round(until_s, 1),
            "mean_live": round(trace.mean_live, 2),
            "start_s": round(seen.start_s, 2),
            "fleet": {"worker_s": round(fleet_s, 1), "waited": seen.waited},
            "model": {"worker_s": round(float(model_s.mean()), 1), "waited": round(model_waited, 2), "runs": RUNS},
            "most_workers": max(count for _, count in seen.workers),
            "waited_noise": round(noise, 2),
        },
        ratio=round(ratio, 4),
        interval=(round(fleet_s / float(high), 4), round(fleet_s / float(low), 4)),
        bound=BOUND,
        verdict="void" if void else "met" if agrees else "missed",
        why="; ".join(void) or "worker-seconds of the fleet by the model's; the interval is that of the model's luck",
        health=health.to_json(),
        command=command,
    )


async def _live(seconds: float, health: Health) -> Seen:
    shape = PoolShape(SLOTS, MIN_WORKERS, MAX_WORKERS, buffer=0, scale_down_delay_s=0.0, policy="predictive")
    arrivals = _arrivals(seconds)
    seen = Seen()
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory(prefix="voicefleet-bench-") as directory:
        async with (
            running_fleet((REGION,), shape, Path(directory), workers=WorkerOptions(str(TIERS))) as fleet,
            ControllerClient(fleet.api_url) as client,
        ):
            watching = asyncio.create_task(_watch(client, seen))
            try:
                await _until_ready(client)
                seen.began_s = loop.time()

                async def place(_: int) -> CallTicket:
                    return await client.create_call(CallRequest(region=REGION), patience_s=60.0)

                swarm = run_swarm(arrivals.tolist(), place, load_utterances(), SwarmSettings(turns=TURNS))
                async with health.watch(), contextlib.aclosing(swarm):
                    async for outcome in swarm:
                        seen.outcomes.append(outcome)
                        if len(seen.outcomes) % 10 == 0:
                            say(f"simulation_reality: {len(seen.outcomes)}/{len(arrivals)} calls")
                await asyncio.sleep(2 * _SAMPLE_S)
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            exposition = await _metrics(fleet.api_url)
            seen.start_s, seen.waited = _start_s(exposition), _waited(exposition)
    return seen


def _arrivals(seconds: float) -> NDArray[np.float64]:
    """Poisson arrivals at a rate between zero and twice `RATE_PER_S`, thinned from the highest one."""
    rng = np.random.default_rng(1)
    at_s = poisson(2 * RATE_PER_S, round(4 * RATE_PER_S * seconds), rng)
    kept = rng.random(at_s.size) < (1 - np.cos(2 * np.pi * at_s / SWELL_S)) / 2
    return at_s[kept & (at_s < seconds)]


async def _watch(client: ControllerClient, seen: Seen) -> None:
    loop = asyncio.get_running_loop()
    while True:
        with contextlib.suppress(UnknownStateError):
            for view in await client.regions():
                if view.starting is not None and view.ready is not None and view.draining is not None:
                    seen.workers.append((loop.time(), view.starting + view.ready + view.draining))
        await asyncio.sleep(_SAMPLE_S)


async def _until_ready(client: ControllerClient) -> None:
    async with asyncio.timeout(_READY_LIMIT_S):
        while not any((view.ready or 0) >= MIN_WORKERS for view in await client.regions()):
            await asyncio.sleep(_SAMPLE_S)


async def _metrics(url: str) -> list[Metric]:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as answer:
        return list(text_string_to_metric_families(await answer.text()))


def _start_s(exposition: Sequence[Metric]) -> float:
    """Mean time from the order for a worker to its registration, as the controller measured it."""
    name, total = SCALER_STARTUP.name, {"phase": "total"}
    return _value(exposition, f"{name}_sum", total) / _value(exposition, f"{name}_count", total)


def _waited(exposition: Sequence[Metric]) -> int:
    soon = _value(exposition, CALL_WAIT.name + "_bucket", {"le": str(WAITED_S)})
    return round(_value(exposition, CALL_WAIT.name + "_count", {}) - soon)


def _value(exposition: Sequence[Metric], name: str, labels: Mapping[str, str]) -> float:
    (found,) = (
        sample.value
        for metric in exposition
        for sample in metric.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
    return found


def _simulated(trace: Trace, start_s: float, seed: int) -> Outcome:
    spec = PoolSpec(REGION, MIN_WORKERS, MAX_WORKERS, SLOTS, 0, 0.0, policy="predictive")
    world = World(
        slots=SLOTS,
        start_p50_s=start_s,
        min_workers=MIN_WORKERS,
        max_workers=MAX_WORKERS,
        initial_workers=MIN_WORKERS,
        wait_counts_s=WAITED_S,
        seed=seed,
    )
    return run(world, trace, VoicefleetPolicy(spec, every_s=TICK_S))
