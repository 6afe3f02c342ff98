"""What operators do: drain a worker, restart all of them in turn, let the pool shrink, run it full."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Mapping

from voicefleet.chaos.fault_context import FaultError, Scene
from voicefleet.contract.api import WorkerView
from voicefleet.contract.errors import UnknownStateError, UnreachableError

EMPTY_LIMIT_S = 25.0
"""A worker that is not empty by then is counted as never empty: the callers must be able to go."""
WHOLE_LIMIT_S = 20.0
FULL_S = 60.0


async def drain_handoff(scene: Scene) -> None:
    """The busiest worker is told to leave; its calls move to others between turns."""
    worker, calls = await scene.busiest()
    scene.strike(hit=calls)
    try:
        await scene.client.drain_worker(worker.id)
    except (UnknownStateError, UnreachableError) as error:
        raise FaultError(f"the order to drain was not taken: {error}") from error
    await _emptied(scene, worker)


async def rolling_restart(scene: Scene) -> None:
    """Every worker gets SIGTERM in turn, the next one when the pool is whole again, as a rollout does."""
    old = await scene.workers()
    calls = await scene.calls_of_workers()
    scene.strike(hit=sum(calls[worker.id] for worker in old))
    for worker in old:
        os.kill(worker.pid, signal.SIGTERM)
        await _emptied(scene, worker)
        if await scene.until(lambda: _whole(scene), WHOLE_LIMIT_S) is None:
            scene.note("the pool was not whole again before the next restart")


async def scale_down(scene: Scene) -> None:
    """Half the callers hang up, so that the pool is too large, and a worker that still has a call must go."""
    before = {worker.id: worker for worker in await scene.workers()}
    served = await scene.served()
    scene.crowd.finish(leavers(served, len(served) // 2))
    scene.strike()
    leaving: list[WorkerView] = []

    async def chosen() -> bool:
        left = {worker.id for worker in (await scene.region()).workers if worker.state == "ready"}
        leaving[:] = [worker for name, worker in before.items() if name not in left]
        return bool(leaving)

    if await scene.until(chosen, EMPTY_LIMIT_S) is None:
        raise FaultError(f"no worker was chosen to leave within {EMPTY_LIMIT_S:g} s")
    await asyncio.gather(*(_emptied(scene, worker) for worker in leaving))


async def slots_full(scene: Scene) -> None:
    """Every slot is taken, and the pool may not grow, for a minute; whoever comes has to wait."""
    holders = scene.crowd.rooms
    scene.strike()
    await scene.sleep(FULL_S)
    # The callers that hold the slots leave, so that those who wait are served.
    scene.crowd.finish(holders)


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


async def _emptied(scene: Scene, worker: WorkerView) -> None:
    async def empty() -> bool:
        found = [w for w in (await scene.region()).workers if w.id == worker.id]
        return not found or found[0].live == 0

    scene.empty_s.append(await scene.until(empty, EMPTY_LIMIT_S))


async def _whole(scene: Scene) -> bool:
    region = await scene.region()
    return region.ready is not None and region.ready >= region.min_workers
