"""A controller of region eu in this process, and what tests do with it. Workers are reports written by the test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import redis.asyncio
import yaml
from livekit import api, rtc

from voicefleet.contract import codec
from voicefleet.contract.calls import DispatchMetadata
from voicefleet.contract.keys import Keys
from voicefleet.contract.reports import WorkerReport
from voicefleet.controller.app import run_controller
from voicefleet.controller.settings.load import load_settings
from voicefleet.runtime.redis.connection import REDIS_FAILURES
from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.stack import servers

KEYS = Keys("eu")
FRONT_SECRET, OTHER_SECRET = "the-secret-of-front", "the-secret-of-other"
ALL = "call+read+operate"
API_KEYS = f"front:{FRONT_SECRET}:{ALL},other:{OTHER_SECRET}:{ALL}"
FRONT, OTHER = ({"Authorization": f"Bearer {secret}"} for secret in (FRONT_SECRET, OTHER_SECRET))


def region(livekit: servers.LiveKit, **more: Any) -> dict[str, Any]:
    pool = {"min_workers": 0, "max_workers": 2, "slots": 2, "policy": "buffer", "buffer": 0, "scale_down_delay_s": 0}
    pool |= more.pop("pool", {})
    at = {"url": livekit.url, "api_key": livekit.api_key, "api_secret_env": "TEST_SECRET"}
    return {"livekit": at, "pool": pool, "waiting_message": None, **more}


@dataclass
class Running:
    url: str
    http: aiohttp.ClientSession
    redis: redis.asyncio.Redis
    api: api.LiveKitAPI

    async def metric(self, series: str) -> float:
        """One value of /metrics; 0.0 when it is not there."""
        async with self.http.get(f"{self.url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(series + " ")), 0.0)

    @contextlib.asynccontextmanager
    async def worker(self, worker: str, **fields: Any) -> AsyncIterator[dict[str, Any]]:
        """A worker that reports every 0.5 s; change its `fields` while it runs."""

        async def keep() -> None:
            while True:
                with contextlib.suppress(*REDIS_FAILURES):
                    await self.report(worker, **fields)
                await asyncio.sleep(0.5)

        task = asyncio.create_task(keep())
        try:
            yield fields
        finally:
            await cancel_and_wait([task])

    async def get(self, path: str, **more: Any) -> Any:
        async with self.http.get(self.url + path, headers=FRONT, **more) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def post(self, body: Any, *, headers: dict[str, str] = FRONT) -> tuple[int, Any, Any]:
        async with self.http.post(f"{self.url}/v1/calls", json=body, headers=headers) as answer:
            return answer.status, await answer.json(), answer.headers

    async def ticket(self, **body: Any) -> dict[str, str]:
        status, answer, _ = await self.post(body)
        assert status == 201, answer
        return dict(answer)

    async def call(self, room: str) -> dict[str, Any] | None:
        async with self.http.get(f"{self.url}/v1/calls", headers=FRONT) as answer:
            if answer.status != 200:
                return None
            calls = (await answer.json())["calls"]
        return next((c for c in calls if c["room"] == room), None)

    async def dispatches(self, room: str) -> list[DispatchMetadata]:
        """The controller's own dispatches, not the one that came with the room."""
        found = [DispatchMetadata.decode(d.metadata) for d in await self.api.agent_dispatch.list_dispatch(room)]
        return [d for d in found if d.attempt]

    async def report(
        self, worker: str = "w1", *, live: int = 0, slots: int = 2, state: str = "ready", **more: Any
    ) -> None:
        report = WorkerReport(worker, "eu", state, slots, live, uptime_s=9.0, **{"accepting": 0, **more})
        seconds, micros = await self.redis.time()
        await self.redis.zadd(KEYS.workers, {worker: seconds * 1000 + micros // 1000})
        await self.redis.set(KEYS.report(worker), codec.dump(report))
        await self.redis.publish(KEYS.events, worker)


@contextlib.asynccontextmanager
async def controller(
    tmp_path: Path, livekit: servers.LiveKit, redis_url: str, *, port: int = 0, keys: str = API_KEYS, **fields: Any
) -> AsyncIterator[Running]:
    """A controller of region eu; `fields` go into its settings file, `keys` into the environment."""
    raw = {
        "redis_url_env": "TEST_REDIS",
        "listen": f"127.0.0.1:{port}",
        **({} if "api_keys_file" in fields else {"api_keys_env": "TEST_API_KEYS"}),
        "regions": {"eu": region(livekit)},
        "tick_s": 0.2,
        "listing_s": 0.4,
        **fields,
    }
    path = tmp_path / "controller.yaml"
    path.write_text(yaml.safe_dump(raw))
    settings = load_settings(path, {"TEST_API_KEYS": keys, "TEST_REDIS": redis_url, "TEST_SECRET": livekit.api_secret})
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    run = asyncio.create_task(
        run_controller(settings, on_ready=ready.set_result, ready_file=tmp_path / "ready.json", stop=stop)
    )
    either: list[asyncio.Future[Any]] = [run, ready]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    try:
        if run.done():
            await run
        async with (
            aiohttp.ClientSession() as http,
            redis.asyncio.Redis.from_url(redis_url, decode_responses=True) as client,
            api.LiveKitAPI(livekit.http_url, livekit.api_key, livekit.api_secret) as lk,
        ):
            yield Running(await ready, http, client, lk)
    finally:
        stop.set()
        await asyncio.wait([run], timeout=30)
    await run


@contextlib.asynccontextmanager
async def caller(url: str, token: str) -> AsyncIterator[rtc.Room]:
    room = rtc.Room()
    await room.connect(url, token)
    try:
        yield room
    finally:
        await room.disconnect()
