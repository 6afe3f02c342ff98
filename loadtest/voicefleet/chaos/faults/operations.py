"""An operator's actions: drain a worker, restart all workers in turn, let the pool shrink, fill every slot."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Mapping

from voicefleet.chaos.fault_context import FaultContext, FaultError
from voicefleet.contract.api import WorkerView
from voicefleet.contract.errors import UnknownStateError, UnreachableError

EMPTY_LIMIT_S = 25.0
"""A worker that is not empty by then is counted as never empty: the callers must be able to go."""
READY_LIMIT_S = 20.0
FULL_S = 60.0


async def drain_handoff(context: FaultContext) -> None:
    """The busiest worker is told to leave; its calls move to others between turns."""
    worker, calls = await context.busiest()
    context.mark_injection(hit=calls)
    try:
        await context.client.drain_worker(worker.id)
    except (UnknownStateError, UnreachableError) as error:
        raise FaultError(f"the order to drain was not taken: {error}") from error
    await _emptied(context, worker)


async def rolling_restart(context: FaultContext) -> None:
    """Every worker gets SIGTERM in turn, the next one when all workers are ready again, as a rollout does."""
    old = await context.workers()
    calls = await context.calls_of_workers()
    context.mark_injection(hit=sum(calls[worker.id] for worker in old))
    for worker in old:
        os.kill(worker.pid, signal.SIGTERM)
        await _emptied(context, worker)
        if await context.until(lambda: _all_ready(context), READY_LIMIT_S) is None:
            context.note("not every worker was ready before the next restart")


async def scale_down(context: FaultContext) -> None:
    """Half the callers hang up, so that the pool is too large, and a worker that still has a call must go."""
    before = {worker.id: worker for worker in await context.workers()}
    served = await context.served()
    context.callers.finish(leavers(served, len(served) // 2))
    context.mark_injection()
    leaving: list[WorkerView] = []

    async def chosen() -> bool:
        left = {worker.id for worker in (await context.region()).workers if worker.state == "ready"}
        leaving[:] = [worker for name, worker in before.items() if name not in left]
        return bool(leaving)

    if await context.until(chosen, EMPTY_LIMIT_S) is None:
        raise FaultError(f"no worker was chosen to leave within {EMPTY_LIMIT_S:g} s")
    await asyncio.gather(*(_emptied(context, worker) for worker in leaving))


async def slots_full(context: FaultContext) -> None:
    """Every slot is taken, and the pool may not grow, for a minute; new callers have to wait."""
    holders = context.callers.rooms
    context.mark_injection()
    await context.sleep(FULL_S)
    # The callers that hold the slots leave, so that those who wait are served.
    context.callers.finish(holders)


def leavers(served: Mapping[str, str], count: int) -> list[str]:
    """Rooms whose callers hang up so that as many workers as possible keep a call: always one of the busiest's.

    Args:
        served: room -> worker.
    """
    left = dict(served)
    for _ in range(count):
        busy = Counter(left.values())
        del left[max(left, key=lambda room: (busy[left[room]], room))]
    return [room for room in served if room not in left]


async def _emptied(context: FaultContext, worker: WorkerView) -> None:
    async def empty() -> bool:
        found = [w for w in (await context.region()).workers if w.id == worker.id]
        return not found or found[0].live == 0

    context.empty_s.append(await context.until(empty, EMPTY_LIMIT_S))


async def _all_ready(context: FaultContext) -> bool:
    region = await context.region()
    return region.ready is not None and region.ready >= region.min_workers
