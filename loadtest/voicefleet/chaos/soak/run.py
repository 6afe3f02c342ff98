"""Runs the rounds of a soak and checks the invariants after each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from voicefleet.chaos.fleet_harness import FleetHarness, running_harness
from voicefleet.chaos.measure import Run
from voicefleet.chaos.report import run_line
from voicefleet.chaos.scenarios import NORMAL
from voicefleet.chaos.soak.gauges import Gauges, RedisState, read_redis_state
from voicefleet.chaos.soak.growth import growth
from voicefleet.chaos.soak.invariants import (
    ClaimTotals,
    call_totals,
    double_speech,
    round_json,
    turn_totals,
    violations,
)
from voicefleet.chaos.soak.plan import SoakOptions, rounds
from voicefleet.contract.errors import UnknownStateError
from voicefleet.runtime.clock import Clock
from voicefleet.stack.interrupt import Say

CLOSED_LIMIT_S = 60.0
"""Until the last claim of an idle fleet is closed: LiveKit ends an empty room 20 s after its last caller left."""
KEYS_PER_CALL = 8.0
"""Keys with an end that a call may leave behind for a while: what is known of it, fences, epochs."""


@dataclass(slots=True)
class Soak:
    """What was seen so far."""

    runs: list[Run] = field(default_factory=list)
    scenarios: list[str] = field(default_factory=list)
    claims: ClaimTotals | None = None
    expiring: int = 0
    problems: list[str] = field(default_factory=list)
    gauges: Gauges = field(default_factory=Gauges)

    def result(self) -> dict[str, Any]:
        """The JSON: good only if all counts add up and nothing grew."""
        calls, turns, doubles = call_totals(self.runs), turn_totals(self.runs), double_speech(self.runs)
        grown = [growth(series) for series in self.gauges.series()]
        problems = [*self.problems, *violations(calls, turns, doubles)]
        problems += [one.sentence() for one in grown if one.grew]
        if not self.runs or calls["placed"] == calls["void"]:
            problems.append("no round counts")
        if self.expiring > KEYS_PER_CALL * max(1, calls["placed"]):
            problems.append(f"{self.expiring} keys in Redis that wait for their end, after {calls['placed']} calls")
        return {
            "rounds": [round_json(scenario, run) for scenario, run in zip(self.scenarios, self.runs, strict=True)],
            "calls": calls,
            "turns": turns,
            "double_speech": doubles,
            "claims": self.claims.to_json() if self.claims else None,
            "redis_keys_expiring": self.expiring,
            "growth": [one.to_json() for one in grown if one.grew is not None],
            "growth_unjudged": sum(one.grew is None for one in grown),
            "problems": problems,
            "passed": not problems,
        }


async def run_soak(options: SoakOptions, clock: Clock, say: Say, soak: Soak) -> None:
    """Rounds until the time is over; the fleet is gone when this returns.

    Args:
        soak: gets what is seen, so that an interruption costs only the round under way.

    Raises:
        UsageError: a part did not start.
    """
    ends_s = clock.monotonic() + options.length_min * 60
    async with running_harness(NORMAL, clock, say, call_events={}, keep_logs=options.logs) as harness:
        for scenario, seed in rounds(options):
            run = await harness.run(scenario, seed)
            soak.runs.append(run)
            soak.scenarios.append(scenario.id)
            say(run_line(scenario.id, run))
            if run.failed and not run.void:
                soak.problems.append(f"{scenario.id}, seed {seed}: {run.failed}")
            if not await harness.wait_restored():
                soak.problems.append(f"the fleet was not restored after {scenario.id}, seed {seed}")
                return
            await _sample(harness, soak)
            if clock.monotonic() >= ends_s:
                break
        await _await_closed_claims(harness, soak, clock)


async def _sample(harness: FleetHarness, soak: Soak) -> RedisState:
    """What the idle fleet holds; claims of rooms that LiveKit has not ended yet may be open still."""
    found = await read_redis_state(harness.fleet.redis.url)
    soak.claims, soak.expiring = found.claims, found.expiring
    soak.problems += [text for text in found.claims.problems(idle=False) if text not in soak.problems]
    soak.gauges.keys(found.lasting)
    soak.gauges.process("controller", harness.fleet.controller.proc.pid)
    try:
        views = await harness.client.regions()
    except UnknownStateError:
        return found  # a sample less
    for worker in (worker for view in views for worker in view.workers if worker.pid):
        soak.gauges.worker(worker.pid)
    return found


async def _await_closed_claims(harness: FleetHarness, soak: Soak, clock: Clock) -> None:
    deadline_s = clock.monotonic() + CLOSED_LIMIT_S
    found = await _sample(harness, soak)
    while found.claims.held and clock.monotonic() < deadline_s:
        await clock.sleep(1.0)
        found = await read_redis_state(harness.fleet.redis.url)
        soak.claims = found.claims
    soak.problems += found.claims.problems(idle=True)
    if found.open_rooms:
        soak.problems.append(f"claims were open for {', '.join(found.open_rooms[:5])}")
