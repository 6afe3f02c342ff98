"""All scenarios, one after the other, on as few fleets as they can share."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from voicefleet.chaos.fleet_harness import FleetHarness, running_harness
from voicefleet.chaos.hooks import Hooks, receiving_hooks
from voicefleet.chaos.measure import Run, scenario_figures
from voicefleet.chaos.options import ChaosOptions
from voicefleet.chaos.prerequisites import missing_prerequisites
from voicefleet.chaos.report import not_run, run_line
from voicefleet.chaos.scenarios import FleetProfile, Scenario
from voicefleet.contract.errors import UsageError
from voicefleet.runtime.clock import Clock
from voicefleet.stack.interrupt import Say


async def run_scenarios(options: ChaosOptions, clock: Clock, say: Say, found: list[dict[str, Any]]) -> None:
    """Run what `options` ask for; every fleet is gone when this returns.

    Args:
        found: gets the JSON of each scenario as it is done, so that an interruption costs only the scenario under way.
            The call events are looked at when all calls are over: until then none counts as lost.
    """
    done: list[tuple[int, Scenario, list[Run]]] = []
    async with contextlib.AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="voicefleet-hooks-"))
        hooks = await stack.enter_async_context(receiving_hooks(Path(directory)))
        fleets = await stack.enter_async_context(_Fleets(clock, say, options, hooks))
        for scenario in options.scenarios:
            if missing := missing_prerequisites(scenario.needs):
                found.append(not_run(scenario.id, missing))
                say(f"{scenario.id}: not run, {' and '.join(missing)}")
                continue
            runs = await _runs(scenario, options, fleets, say)
            done.append((len(found), scenario, runs))
            found.append(scenario_figures(scenario.id, runs, scenario.bound))
        await fleets.close()
        for index, scenario, runs in done:
            judged = [replace(run, hooks=tuple(hooks.problems(run.rooms))) for run in runs]
            found[index] = scenario_figures(scenario.id, judged, scenario.bound)


async def _runs(scenario: Scenario, options: ChaosOptions, fleets: _Fleets, say: Say) -> list[Run]:
    runs: list[Run] = []
    for seed in options.seed_numbers:
        for _again in range(2):
            try:
                harness = await fleets.of(scenario.profile)
                if scenario.forgets:
                    await fleets.settle()
            except UsageError as error:
                # The other scenarios may need another fleet, and what was found so far must not be lost.
                say(f"{scenario.id}: {error}")
                return [*runs, Run(seed, None, (), 0, failed=f"no fleet: {error}")]
            run = await harness.run(scenario, seed)
            runs.append(run)
            fleets.rooms.extend(run.rooms)
            say(run_line(scenario.id, run))
            if not run.void:
                break
    return runs


class _Fleets:
    """Holds the fleet in use, and makes a new one when another profile is asked for or it was not restored."""

    def __init__(self, clock: Clock, say: Say, options: ChaosOptions, hooks: Hooks) -> None:
        self.rooms: list[str] = []
        """Of the calls on the fleet in use: it is kept until their events have come."""
        self._hooks = hooks
        self._clock = clock
        self._say = say
        self._options = options
        self._stack = contextlib.AsyncExitStack()
        self._harness: FleetHarness | None = None

    async def __aenter__(self) -> _Fleets:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def of(self, profile: FleetProfile) -> FleetHarness:
        """A restored fleet of that profile."""
        if self._harness is not None and self._harness.profile == profile:
            if await self._harness.wait_restored():
                return self._harness
            self._say("the fleet was not restored")
        await self.close()
        self._stack = contextlib.AsyncExitStack()
        self._harness = await self._stack.enter_async_context(
            running_harness(
                profile,
                self._clock,
                self._say,
                call_events={"billing": self._hooks.settings},
                keep_logs=self._options.logs,
            )
        )
        return self._harness

    async def close(self) -> None:
        """Stop the fleet in use, once the call events of its calls have come."""
        self._harness = None
        await self.settle()
        await self._stack.aclose()

    async def settle(self) -> None:
        """Wait for the call events of the calls so far."""
        await self._hooks.settle(self.rooms, self._clock)
        self.rooms.clear()
