"""What is broken, and how it is mended: each fault is a context that is broken inside and whole again outside."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from voicefleet.chaos.alerts.stand import Stand
from voicefleet.chaos.fault_context import FaultError
from voicefleet.chaos.faults.processes import group
from voicefleet.chaos.faults.providers import write_faults
from voicefleet.contract.api import WorkerView
from voicefleet.contract.errors import UnknownStateError

Fault = Callable[[Stand, str], AbstractAsyncContextManager[None]]
_MORE_CALLERS = 6


@contextlib.asynccontextmanager
async def redis_stopped(stand: Stand, _region: str) -> AsyncIterator[None]:
    """Redis is stopped, with what it held kept."""
    redis = stand.fleet.redis
    await redis.stop()
    try:
        yield
    finally:
        await redis.start()


@contextlib.asynccontextmanager
async def livekit_killed(stand: Stand, region: str) -> AsyncIterator[None]:
    """livekit-server is killed."""
    livekit = stand.fleet.livekit[region]
    await livekit.stop(kill=True)
    try:
        yield
    finally:
        await livekit.start()


@contextlib.asynccontextmanager
async def worker_kill9(stand: Stand, region: str) -> AsyncIterator[None]:
    """A worker's process group is killed."""
    os.killpg((await _busiest(stand, region)).pid, signal.SIGKILL)
    yield


@contextlib.asynccontextmanager
async def worker_sigstop(stand: Stand, region: str) -> AsyncIterator[None]:
    """Every process of a worker is stopped by SIGSTOP, and goes on later."""
    pids = group((await _busiest(stand, region)).pid)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextlib.asynccontextmanager
async def controller_stopped(stand: Stand, _region: str) -> AsyncIterator[None]:
    """The only controller is stopped by SIGSTOP, and goes on later."""
    controller = stand.fleet.controller.proc
    os.kill(controller.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(controller.pid, signal.SIGCONT)


@contextlib.asynccontextmanager
async def beyond_maximum(stand: Stand, region: str) -> AsyncIterator[None]:
    """More callers than the pool may ever have slots for."""
    more = stand.callers[region].add(_MORE_CALLERS)
    try:
        yield
    finally:
        for caller in more:
            caller.cancel()


def provider(stage: str, how: str) -> Fault:
    """Every request to a stage (stt, llm, tts) does `how` (hang, refuse)."""

    @contextlib.asynccontextmanager
    async def fault(stand: Stand, region: str) -> AsyncIterator[None]:
        write_faults(stand.providers(region), {stage: how})
        try:
            yield
        finally:
            write_faults(stand.providers(region), {})

    return fault


@contextlib.asynccontextmanager
async def bad_module(stand: Stand, region: str) -> AsyncIterator[None]:
    """The agent's module does not import any more, and its workers end."""
    agent = stand.agent(region)
    good = agent.read_text()
    agent.write_text("import a_module_that_is_not_there\n" + good)
    for worker in await _workers(stand, region):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
    try:
        yield
    finally:
        agent.write_text(good)


async def _workers(stand: Stand, region: str) -> list[WorkerView]:
    try:
        view = next(view for view in await stand.client.regions() if view.region == region)
    except UnknownStateError as error:
        raise FaultError(f"the workers are not known: {error}") from error
    return [worker for worker in view.workers if worker.pid]


async def _busiest(stand: Stand, region: str) -> WorkerView:
    workers = await _workers(stand, region)
    if not workers:
        raise FaultError(f"{region} has no worker")
    return max(workers, key=lambda worker: worker.live)
