"""Plays many tasks against a running fleet, some at a time, and yields their records as the calls end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from voicefleet.contract.api import CallRequest, CallTicket
from voicefleet.runtime.clock import Clock, SystemClock
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.tasks.load import TaskSet
from voicefleet.tasks.meter import WorkerMeter
from voicefleet.tasks.play import PreparedCall, play, prepare
from voicefleet.tasks.record import TaskRecord
from voicefleet.tasks.schema import Task

PlaceCall = Callable[[PreparedCall], Awaitable[CallTicket]]
PLACE_PATIENCE_S = 30.0
CALL_LIMIT_S = 180.0
"""A call that is not over after this has failed."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One task to play. `seed` makes the caller, `trial` counts the runs of the same task."""

    task: Task
    seed: int = 1
    trial: int = 0


def by_controller(client: ControllerClient, *, region: str | None = None, tier: str | None = None) -> PlaceCall:
    """Calls that the controller places, in a region and with a tier."""

    async def place(call: PreparedCall) -> CallTicket:
        request = CallRequest(region=region, tier=tier, metadata=call.metadata)
        return await client.create_call(request, patience_s=PLACE_PATIENCE_S)

    return place


async def play_tasks(
    found: TaskSet,
    planned: Sequence[Planned],
    place: PlaceCall,
    *,
    config: str,
    at_once: int = 1,
    recordings: Path | None = None,
    meter: WorkerMeter | None = None,
    clock: Clock | None = None,
) -> AsyncGenerator[TaskRecord, None]:
    """Play each, at most `at_once` at the same time, and yield the records as the calls end.

    Iterate inside ``contextlib.aclosing(...)``: leaving early hangs up every call that is open.

    Args:
        config: name of what is played.
        recordings: a folder for the calls' sound, ``CONFIG-TASK-SEED-TRIAL.wav``; None: nothing is recorded.
        meter: what the workers take, entered by you; None: not measured.

    Raises:
        MissingPartError: no flite.
        ConfigError: a recording of the task's that cannot be used.
    """
    clock = clock or SystemClock()
    # All sound first: making it while others speak would take the processor from what is measured.
    calls = [prepare(found, plan.task, seed=plan.seed, trial=plan.trial) for plan in planned]
    free = asyncio.Semaphore(at_once)
    finished: asyncio.Queue[TaskRecord] = asyncio.Queue()

    async def hold(call: PreparedCall) -> None:
        async with free:
            finished.put_nowait(await _held(call, place, config, recordings, meter, clock))

    tasks = [asyncio.create_task(hold(call), name=f"task-{call.task.id}") for call in calls]
    try:
        for _ in tasks:
            yield await finished.get()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _held(
    call: PreparedCall,
    place: PlaceCall,
    config: str,
    recordings: Path | None,
    meter: WorkerMeter | None,
    clock: Clock,
) -> TaskRecord:
    name = f"{config}-{call.task.id}-{call.seed}-{call.trial}.wav"
    blank = TaskRecord(
        task=call.task.id,
        goal=call.task.goal,
        part=call.task.part,
        config=config,
        seed=call.seed,
        trial=call.trial,
        voice=call.voice,
    )
    try:
        ticket = await place(call)
        share = meter.call() if meter is not None else None
        async with asyncio.timeout(CALL_LIMIT_S):
            recording = recordings / name if recordings is not None else None
            record = await play(call, ticket, config=config, recording=recording, clock=clock)
    except Exception as error:  # one call that fails must not end the run, and must be counted
        return replace(blank, error=repr(error))
    if share is None:
        return record
    cpu_s, memory = share.taken()
    return replace(record, worker_cpu_s=cpu_s, worker_memory_bytes=memory)
