"""HTTP/2 without TLS: one connection, two streams whose bodies never end. httpx calls, hypercorn serves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
from hypercorn.asyncio import serve
from hypercorn.config import Config

from voicefleet.transports.protocols.frames import Frame, Splitter
from voicefleet.transports.protocols.protocol import PORT, ProtocolEnd

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Http2End(ProtocolEnd):
    """Both ends."""

    def prepare(self) -> None:
        self._client: httpx.AsyncClient | None = None
        self._waiting: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._ended = asyncio.Event()

    async def listen(self) -> None:
        config = Config()
        config.bind = [f"{self.address}:{PORT}"]
        config.accesslog = config.errorlog = None
        config.graceful_timeout = 0.1
        ended = self._ended
        self._tasks.append(asyncio.create_task(serve(self._app, config, shutdown_trigger=ended.wait)))  # type: ignore[arg-type]

    async def connect(self) -> None:
        # Without TLS there is no negotiation: we know that the server speaks HTTP/2.
        self._client = httpx.AsyncClient(
            base_url=f"http://{self.address}:{PORT}", http1=False, http2=True, timeout=None, trust_env=False
        )
        opened = asyncio.Event()
        self._tasks.append(asyncio.create_task(self._hear(self._client, opened)))
        await opened.wait()
        self.source.begin()

    async def speak(self) -> None:
        if self._client is not None:
            await self._client.post("/up", content=self._body())
            return
        async for frame in self.source.frames():
            self._waiting.put_nowait(frame)

    async def close(self) -> None:
        self._waiting.put_nowait(None)  # the body that never ends, ends
        self._ended.set()
        if self._client is not None:
            for task in self._tasks:
                task.cancel()
        await asyncio.wait(self._tasks, timeout=1.0)
        if self._client is not None:
            with contextlib.suppress(httpx.HTTPError):
                await self._client.aclose()

    async def _body(self) -> AsyncIterator[bytes]:
        async for frame in self.source.frames():
            yield frame.encode()

    async def _hear(self, client: httpx.AsyncClient, opened: asyncio.Event) -> None:
        frames = Splitter()
        async with client.stream("GET", "/down") as answer:
            opened.set()
            async for data in answer.aiter_raw():
                for frame in frames.feed(data):
                    self.listener.receive(frame)

    async def _app(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        down = scope["path"] == "/down"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if down:
            self.source.begin()
            while (frame := await self._waiting.get()) is not None:
                await send({"type": "http.response.body", "body": frame.encode(), "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return
        frames = Splitter()
        more = True
        while more:
            event = await receive()
            for frame in frames.feed(event.get("body", b"")):
                self.listener.receive(frame)
            more = event["type"] == "http.request" and event.get("more_body", False)
        await send({"type": "http.response.body", "body": b""})
