"""HTTP/1.1: a POST per frame (each on a connection of its own, or all on one), or two bodies that never end.

With a POST per frame the agent's frames come back in the answers: whatever it has said since the last one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web

from voicefleet.transports.protocols.frames import Frame, Splitter
from voicefleet.transports.protocols.protocol import PORT, ProtocolEnd


class HttpEnd(ProtocolEnd):
    """Both ends. Modes: ``new``, ``keepalive``, ``stream``."""

    def prepare(self) -> None:
        self._session: ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self._waiting: asyncio.Queue[Frame] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._upload = asyncio.Event()
        self._said_all = asyncio.Event()

    async def listen(self) -> None:
        app = web.Application()
        app.router.add_post("/frame", self._take_frame)
        app.router.add_post("/up", self._take_stream)
        app.router.add_get("/down", self._give_stream)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.address, PORT, shutdown_timeout=0.1).start()

    async def connect(self) -> None:
        fresh = self.mode == "new"
        connector = TCPConnector(force_close=fresh, limit=0 if self.mode != "keepalive" else 1)
        self._session = ClientSession(
            f"http://{self.address}:{PORT}", connector=connector, timeout=ClientTimeout(total=None)
        )
        if self.mode == "stream":
            opened = asyncio.Event()
            self._tasks.add(asyncio.create_task(self._hear_stream(self._session, opened)))
            self._tasks.add(asyncio.create_task(self._speak_stream(self._session)))
            # Both connections: whoever speaks before the second one is there is late from the first word.
            await opened.wait()
            await self._upload.wait()
        self.source.begin()

    async def speak(self) -> None:
        if self._session is None:
            async for frame in self.source.frames():
                self._waiting.put_nowait(frame)
        elif self.mode == "stream":
            await self._said_all.wait()
        else:
            await self._speak_in_posts(self._session)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    # --- the caller ---

    async def _body(self) -> AsyncIterator[bytes]:
        self._upload.set()
        async for frame in self.source.frames():
            yield frame.encode()
        self._said_all.set()

    async def _speak_stream(self, session: ClientSession) -> None:
        async with session.post("/up", data=self._body()):
            pass

    async def _hear_stream(self, session: ClientSession, opened: asyncio.Event) -> None:
        frames = Splitter()
        async with session.get("/down") as answer:
            opened.set()
            async for data in answer.content.iter_any():
                for frame in frames.feed(data):
                    self.listener.receive(frame)

    async def _speak_in_posts(self, session: ClientSession) -> None:
        """On connections of their own posts overlap; on one, each waits for the answer to the one before."""
        async for frame in self.source.frames():
            # The connector of one connection makes posts queue, first come first served.
            task = asyncio.create_task(self._post(session, frame))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _post(self, session: ClientSession, frame: Frame) -> None:
        frames = Splitter()
        # The call is over before the last answers are in: they are lost, as on a hang-up.
        with contextlib.suppress(ClientError):
            async with session.post("/frame", data=frame.encode()) as answer:
                for heard in frames.feed(await answer.read()):
                    self.listener.receive(heard)

    # --- the agent ---

    async def _take_frame(self, request: web.Request) -> web.Response:
        self.source.begin()
        for frame in Splitter().feed(await request.read()):
            self.listener.receive(frame)
        return web.Response(body=b"".join(self._said()))

    async def _take_stream(self, request: web.Request) -> web.Response:
        frames = Splitter()
        async for data in request.content.iter_any():
            for frame in frames.feed(data):
                self.listener.receive(frame)
        return web.Response()

    async def _give_stream(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        self.source.begin()
        while True:
            frame = await self._waiting.get()
            await answer.write(frame.encode())

    def _said(self) -> list[bytes]:
        out = []
        while not self._waiting.empty():
            out.append(self._waiting.get_nowait().encode())
        return out
