"""A fleet of one worker that runs every setting of a sweep as a tier, and callers that play tasks on it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from voicefleet.contract.errors import UnknownStateError, UnreachableError
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.stack.fleet import Fleet, PoolShape, WorkerOptions, running_fleet
from voicefleet.tasks.load import TaskSet
from voicefleet.tasks.meter import WorkerMeter, taken_below
from voicefleet.tasks.play import SESSION_HOST
from voicefleet.tasks.record import TaskRecord
from voicefleet.tasks.run import Planned, by_controller, play_tasks
from voicefleet.tuning.trial_log import Play

REGION = "tune"
AGENT = "voicefleet.tuning.agent:desk"
START_LIMIT_S = 90.0


@dataclass(frozen=True)
class FleetStand:
    """Plays tasks on a running fleet; a `sweep.Stand`."""

    fleet: Fleet
    client: ControllerClient
    meter: WorkerMeter
    found: TaskSet
    seed: int
    recordings: Path
    clock: Clock

    async def play(self, setting: str, plays: Sequence[Play], *, limit_s: float) -> list[TaskRecord]:
        """Play these at the same time, all with one setting; what is not over after `limit_s` is left out."""
        tasks = {task.id: task for task in self.found.tasks}
        planned = [Planned(tasks[task], seed=self.seed, trial=trial) for task, trial in plays]
        records = play_tasks(
            self.found,
            planned,
            by_controller(self.client, region=REGION, tier=setting),
            config=setting,
            at_once=len(plays),
            recordings=self.recordings,
            meter=self.meter,
            clock=self.clock,
        )
        over: list[TaskRecord] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s), contextlib.aclosing(records):
                async for record in records:
                    over.append(record)
        return over

    def logs(self) -> str:
        """The last lines of what the fleet wrote."""
        return self.fleet.log_tails(lines=3)


@contextlib.asynccontextmanager
async def running_stand(
    settings: Mapping[str, Mapping[str, Any]],
    found: TaskSet,
    *,
    agent: str,
    at_once: int,
    seed: int,
    out: Path,
    clock: Clock,
) -> AsyncIterator[FleetStand]:
    """Start a fleet whose tiers are `settings`, wait for its worker, end it.

    Args:
        agent: of the workers; empty: the tasks' own.
        out: recordings are written below it; the logs of the last fleet are kept there too.

    Raises:
        UsageError: a part did not start; the message says which, why and what to do.
    """
    recordings = out / "recordings"
    recordings.mkdir(parents=True, exist_ok=True)
    # One slot more than calls: the next block's first call must not wait for the last goodbye.
    shape = PoolShape(at_once + 1, min_workers=1, max_workers=1, buffer=0, scale_down_delay_s=3_600.0)
    with tempfile.TemporaryDirectory(prefix="voicefleet-tune-") as directory:
        tiers = Path(directory, "tiers.yaml")
        tiers.write_text(yaml.safe_dump(_document(settings), sort_keys=False), encoding="utf-8")
        workers = WorkerOptions(str(tiers), agent=agent or AGENT)
        try:
            async with running_fleet((REGION,), shape, Path(directory), workers=workers) as fleet:
                pid = fleet.controller.proc.pid
                async with ControllerClient(fleet.api_url) as client, WorkerMeter(lambda: taken_below(pid)) as meter:
                    await _until_ready(client, fleet, clock)
                    yield FleetStand(fleet, client, meter, found, seed, recordings, clock)
        finally:
            shutil.copytree(Path(directory, "logs"), out / "logs", dirs_exist_ok=True)


def _document(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The tiers of a sweep: as the settings are, and the session tells the callers what it did."""
    tiers = {name: {**fields, "session_host": [SESSION_HOST]} for name, fields in settings.items()}
    return {"pipeline": "tune", "default": next(iter(tiers)), "tiers": tiers}


async def _until_ready(client: ControllerClient, fleet: Fleet, clock: Clock) -> None:
    try:
        async with asyncio.timeout(START_LIMIT_S):
            while True:
                with contextlib.suppress(UnknownStateError):
                    if any((view.ready or 0) >= 1 for view in await client.regions()):
                        return
                await clock.sleep(0.2)
    except TimeoutError as error:
        raise UnreachableError(
            f"no worker was ready within {START_LIMIT_S:.0f} s; the last lines of their logs:\n{fleet.log_tails()}",
            field="workers",
            hint="Mend what they say; voicefleet check says the same of an agent and a tiers file.",
        ) from error
