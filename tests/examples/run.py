"""Runs the agents in batches: each batch on one fleet, in which every agent has a region, workers and a call."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from examples.catalogue import ENVIRONMENT, Example
from examples.ordeal import Ordeal, Trial
from examples.provider import AvatarProvider, avatar_provider
from voicefleet.callers.health import HealthMeter
from voicefleet.contract.errors import UnknownStateError, UnreachableError
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.stack.fleet import Fleet, PoolShape, WorkerOptions, running_fleet
from voicefleet.stack.interrupt import Say

BATCH = 4
"""So many agents at once: eight workers and four calls are what two cores carry."""
WORKERS = 2
SHAPE = PoolShape(slots=2, min_workers=WORKERS, max_workers=3, buffer=0, scale_down_delay_s=10.0)
READY_LIMIT_S = 90.0
CALLER_GONE_S = 3
"""Far shorter than a fleet's, so that the end of a call is seen soon."""
TIERS = "own"


async def run_examples(
    examples: Sequence[Example], clock: Clock, say: Say, done: list[Trial], logs: Path | None = None
) -> None:
    """Run all of them; each that is done is added to `done`. Agents that fail while the machine is too busy for figures
    of callers to count are tried once more, and that counts.

    Args:
        logs: a folder that gets each fleet's logs; None: they go with the fleet.

    Raises:
        UsageError: a part of a fleet did not start.
    """
    for first in range(0, len(examples), BATCH):
        batch = examples[first : first + BATCH]
        trials = await _together(batch, clock, say, logs)
        again = [example for example, trial in zip(batch, trials, strict=True) if trial.void and not trial.passed]
        if again:
            say("the machine was too busy: again")
            repeated = dict(zip(again, await _together(again, clock, say, logs), strict=True))
            trials = [repeated.get(example, trial) for example, trial in zip(batch, trials, strict=True)]
        done += trials


async def _together(batch: Sequence[Example], clock: Clock, say: Say, logs: Path | None) -> list[Trial]:
    """All of `batch` at once, each in a region of one fleet."""
    say(f"starting a fleet for {', '.join(example.name for example in batch)}")
    async with _fleet(batch, clock, logs) as (fleet, client, provider), HealthMeter(clock) as meter:
        say("calls begin")
        ordeals = (Ordeal(example, fleet, client, provider, clock) for example in batch)
        trials = await asyncio.gather(*(ordeal.run() for ordeal in ordeals))
        void = meter.health().void
    for trial in trials:
        say(f"{trial.agent}: {'; '.join(trial.problems) or 'good'}")
    return [replace(trial, void=void) for trial in trials]


@contextlib.asynccontextmanager
async def _fleet(
    batch: Sequence[Example], clock: Clock, logs: Path | None
) -> AsyncIterator[tuple[Fleet, ControllerClient, AvatarProvider]]:
    """A fleet for these agents, once all its workers are ready."""
    async with contextlib.AsyncExitStack() as stack:
        directory = stack.enter_context(_directory(logs))
        avatars = any(example.avatars for example in batch)
        provider = await stack.enter_async_context(avatar_provider(directory / "logs", wanted=avatars))
        environment = {**ENVIRONMENT, **provider.environment, "VOICEFLEET_CALLER_GONE_S": str(CALLER_GONE_S)}
        workers = {e.region: WorkerOptions(TIERS, agent=e.target, env=environment) for e in batch}
        fleet = await stack.enter_async_context(running_fleet(tuple(workers), SHAPE, directory, workers=workers))
        client = await stack.enter_async_context(ControllerClient(fleet.api_url))
        await _until_ready(fleet, client, clock)
        yield fleet, client, provider


async def _until_ready(fleet: Fleet, client: ControllerClient, clock: Clock) -> None:
    """Wait for the workers of every region.

    Raises:
        UnreachableError: they did not come up in time; the last lines of their logs say why.
    """
    began_s = clock.monotonic()
    while clock.monotonic() - began_s < READY_LIMIT_S:
        with contextlib.suppress(UnknownStateError):
            if all((region.ready or 0) >= WORKERS for region in await client.regions()):
                return
        await clock.sleep(0.2)
    raise UnreachableError(
        f"not every worker was ready within {READY_LIMIT_S:.0f} s; the last lines of their logs:\n{fleet.log_tails()}",
        field="workers",
        hint="Mend what they say.",
    )


@contextlib.contextmanager
def _directory(logs: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="voicefleet-examples-") as name:
        try:
            yield Path(name)
        finally:
            if logs is not None:
                shutil.copytree(Path(name) / "logs", logs / Path(name).name, dirs_exist_ok=True)
