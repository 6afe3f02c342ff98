"""A real worker under test, and what it says of itself in Redis."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis as RedisClient
from redis.exceptions import ConnectionError

from voicefleet.contract import codec
from voicefleet.contract.keys import Keys
from voicefleet.contract.reports import WorkerOrder, WorkerReport
from voicefleet.runtime.supervisor.children import Child, running
from voicefleet.stack.servers import LiveKit

KEYS = Keys("test")
START_LIMIT_S = 40.0


class WorkerProcess:
    """A worker under test and what it says of itself in Redis."""

    def __init__(self, child: Child, redis: RedisClient, name: str) -> None:
        self.child = child
        self.redis = redis
        self.name = name

    async def report(self) -> WorkerReport | None:
        try:
            text = await self.redis.get(KEYS.report(self.name))
        except ConnectionError:  # a test took Redis away
            return None
        return codec.load(WorkerReport, text) if text else None

    async def until(self, what: Callable[[WorkerReport], bool], limit_s: float = START_LIMIT_S) -> WorkerReport:
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    assert self.child.alive, self.child.log_tail()
                    report = await self.report()
                    if report is not None and what(report):
                        return report
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"not within {limit_s} s; last report {await self.report()}\n{self.child.log_tail()}")

    async def order(self, serial: int, *, cordon: bool) -> None:
        await self.redis.set(KEYS.order(self.name), codec.dump(WorkerOrder(serial, cordon)))
        await self.until(lambda r: r.order_seen == serial, 5.0)


def command(*more: str) -> list[str]:
    return [sys.executable, "-m", "voicefleet.cli.app", "worker", *more]


def surroundings(livekit: LiveKit, redis_url: str, name: str, slots: int) -> dict[str, str]:
    return {
        "LIVEKIT_URL": livekit.url,
        "LIVEKIT_API_KEY": livekit.api_key,
        "LIVEKIT_API_SECRET": livekit.api_secret,
        "VOICEFLEET_REDIS_URL": redis_url,
        "VOICEFLEET_REGION": "test",
        "VOICEFLEET_WORKER_ID": name,
        "VOICEFLEET_SLOTS": str(slots),
        "VOICEFLEET_TIERS": "synthetic",
    }


@asynccontextmanager
async def worker(
    livekit: LiveKit, redis_url: str, tmp_path: Path, name: str = "w-1", slots: int = 2, **env: str
) -> AsyncIterator[WorkerProcess]:
    child = Child(
        name,
        command(),
        log_path=tmp_path / f"{name}.log",
        env={**surroundings(livekit, redis_url, name, slots), **env},
        stop_plan=((signal.SIGTERM, 20.0),),
    )
    redis = RedisClient.from_url(redis_url, decode_responses=True)
    async with running(child), redis:
        found = WorkerProcess(child, redis, name)
        await found.until(lambda r: r.state == "ready")
        yield found
