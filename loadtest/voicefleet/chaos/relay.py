"""A relay for LiveKit's webhooks that can lose, repeat and reorder them before the controller gets them."""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections.abc import AsyncIterator

import aiohttp
import numpy as np
from aiohttp import web

from voicefleet.runtime.supervisor.ports import LOOPBACK, Ports

LONGEST_DELAY_S = 3.0
_KEPT_HEADERS = ("Authorization", "Content-Type")


class Mode(enum.Enum):
    """What becomes of a webhook. mangle: it comes twice, each time late by up to 3 s, so in any order."""

    PASS = "pass"
    LOSE = "lose"
    MANGLE = "mangle"


class Relay:
    """Takes webhooks at `url` and hands them on, or not. LiveKit is always answered 200 when they are not passed."""

    def __init__(self, port: int) -> None:
        self.mode = Mode.PASS
        self.taken = 0
        self._port = port
        self._target = ""
        self._rng = np.random.default_rng(0)
        self._http: aiohttp.ClientSession | None = None
        self._late: set[asyncio.Task[None]] = set()

    def in_front_of(self, target: str) -> str:
        """Hand on to `target`; returns the address that takes its place."""
        self._target = target
        return f"http://{LOOPBACK}:{self._port}/webhooks"

    def seed(self, seed: int) -> None:
        """Choose the delays of the webhooks to come."""
        self._rng = np.random.default_rng(seed)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_post("/webhooks", self._take)
        runner = web.AppRunner(app, access_log=None)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0)) as self._http:
            await runner.setup()
            await web.TCPSite(runner, LOOPBACK, self._port).start()
            try:
                yield
            finally:
                for task in self._late:
                    task.cancel()
                await asyncio.gather(*self._late, return_exceptions=True)
                await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name: request.headers[name] for name in _KEPT_HEADERS if name in request.headers}
        self.taken += 1
        if self.mode is Mode.PASS:
            return web.Response(status=await self._hand_on(body, headers))
        if self.mode is Mode.MANGLE:
            for delay_s in self._rng.uniform(0, LONGEST_DELAY_S, 2):
                task = asyncio.create_task(self._hand_on_late(body, headers, float(delay_s)))
                self._late.add(task)
                task.add_done_callback(self._late.discard)
        return web.Response()

    async def _hand_on_late(self, body: bytes, headers: dict[str, str], delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await self._hand_on(body, headers)

    async def _hand_on(self, body: bytes, headers: dict[str, str]) -> int:
        assert self._http is not None
        try:
            async with self._http.post(self._target, data=body, headers=headers) as answer:
                return answer.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 502


@contextlib.asynccontextmanager
async def relay() -> AsyncIterator[Relay]:
    """A relay for the block, on a port of its own."""
    with Ports() as ports:
        made = Relay(ports.tcp())
        async with made.serving():
            yield made
