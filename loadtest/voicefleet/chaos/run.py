"""All rows, one after the other, on as few fleets as they can share."""

from __future__ import annotations

import contextlib
from typing import Any

from voicefleet.chaos.fleet_harness import Stage, stage
from voicefleet.chaos.measure import Run, row_figures
from voicefleet.chaos.options import ChaosOptions
from voicefleet.chaos.report import not_run, run_line
from voicefleet.chaos.scenarios import Gear, Row
from voicefleet.chaos.surroundings import lacking
from voicefleet.contract.errors import UsageError
from voicefleet.runtime.clock import Clock
from voicefleet.stack.interrupt import Say


async def run_rows(options: ChaosOptions, clock: Clock, say: Say, found: list[dict[str, Any]]) -> None:
    """Run what `options` ask for; every fleet is gone when this returns.

    Args:
        found: gets the JSON of each row as it is done, so that an interruption costs only the row under way.
    """
    async with _Fleets(clock, say, options) as fleets:
        for row in options.rows:
            if missing := lacking(row.needs):
                found.append(not_run(row.id, missing))
                say(f"{row.id}: not run, {' and '.join(missing)}")
                continue
            runs = await _runs(row, options, fleets, say)
            found.append(row_figures(row.id, runs, row.bound))


async def _runs(row: Row, options: ChaosOptions, fleets: _Fleets, say: Say) -> list[Run]:
    runs: list[Run] = []
    for seed in options.seed_numbers:
        for _again in range(2):
            try:
                on = await fleets.of(row.gear)
            except UsageError as error:
                # The other rows may need another fleet, and what was found so far must not be lost.
                say(f"{row.id}: {error}")
                return [*runs, Run(seed, None, (), 0, failed=f"no fleet: {error}")]
            run = await on.run(row, seed)
            runs.append(run)
            say(run_line(row.id, run))
            if not run.void:
                break
    return runs


class _Fleets:
    """Holds the fleet in use, and makes a new one when another gear is asked for or it is not whole any more."""

    def __init__(self, clock: Clock, say: Say, options: ChaosOptions) -> None:
        self._clock = clock
        self._say = say
        self._options = options
        self._stack = contextlib.AsyncExitStack()
        self._stage: Stage | None = None

    async def __aenter__(self) -> _Fleets:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def of(self, gear: Gear) -> Stage:
        """A whole fleet of that gear."""
        if self._stage is not None and self._stage.gear == gear:
            if await self._stage.whole():
                return self._stage
            self._say("the fleet is not whole again")
        self._stage = None
        await self._stack.aclose()
        self._stack = contextlib.AsyncExitStack()
        self._stage = await self._stack.enter_async_context(
            stage(gear, self._clock, self._say, keep_logs=self._options.logs)
        )
        return self._stage
