"""Answers the model server's requests with loaded models (`protocol`)."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TypeVar

from aiohttp import web

from voicefleet.local.model_server.models import BrokenModelError, Model, Recognizer, Speaker, Writer
from voicefleet.local.model_server.protocol import MAX_PCM_BYTES, MAX_TEXT_BYTES, Reply, Task
from voicefleet.runtime.logs.setup import get_logger

MAX_WAITING = 64
"""Requests that may wait for a thread; at 0.1-0.5 s each, later ones would be answered too late for a call."""

_READ_LIMIT_S = 10.0

T = TypeVar("T")

log = get_logger(__name__)


class RequestServer:
    """Answers requests with loaded models. Each model has `threads` threads, and serves first come, first served."""

    def __init__(self, models: Mapping[str, Model], threads: int) -> None:
        self._models = models
        self._threads = threads
        # A text takes longer than a recognition: with threads of its own it keeps no other caller's words waiting.
        self._executors = {name: concurrent.futures.ThreadPoolExecutor(threads, name) for name in models}
        self._unfinished = 0
        self._running: dict[int, float] = {}
        self._numbers = itertools.count()

    def application(self) -> web.Application:
        """The routes of the protocol."""
        app = web.Application(client_max_size=MAX_PCM_BYTES)
        app.router.add_get("/status", self._status)
        app.router.add_post("/recognize/{model}", self._recognize)
        app.router.add_post("/speak/{model}", self._speak)
        app.router.add_post("/write/{model}", self._write)
        return app

    @property
    def busy(self) -> bool:
        """Whether a request is being computed."""
        return bool(self._running)

    async def _status(self, _: web.Request) -> web.Response:
        oldest = min(self._running.values(), default=None)
        oldest_s = 0.0 if oldest is None else time.perf_counter() - oldest
        return web.json_response({"unfinished": self._unfinished, "oldest_running_s": oldest_s})

    async def _recognize(self, request: web.Request) -> web.Response:
        name, model = self._model(request)
        if not isinstance(model, Recognizer):
            raise web.HTTPNotFound(text="this model recognizes nothing")
        pcm = await _body(request, MAX_PCM_BYTES)
        if len(pcm) % 2:
            raise web.HTTPBadRequest(text="the audio must be 16-bit samples")
        options = dict(request.query)
        heard, waited_s, compute_s = await self._run(name, lambda: model.recognize(pcm, options))
        return web.json_response(asdict(Reply(heard.text, heard.confidence_ratio, waited_s, compute_s)))

    async def _speak(self, request: web.Request) -> web.Response:
        name, model = self._model(request)
        if not isinstance(model, Speaker):
            raise web.HTTPNotFound(text="this model speaks nothing")
        sentence = (await _body(request, MAX_TEXT_BYTES)).decode(errors="ignore")
        if not re.search(r"\w", sentence):
            raise web.HTTPBadRequest(text="there is nothing to speak")
        wav, _, _ = await self._run(name, lambda: model.speak(sentence))
        return web.Response(body=wav, content_type="audio/wav")

    async def _write(self, request: web.Request) -> web.StreamResponse:
        name, model = self._model(request)
        if not isinstance(model, Writer):
            raise web.HTTPNotFound(text="this model writes nothing")
        body = await _body(request, MAX_TEXT_BYTES)
        try:
            task = Task(**json.loads(body))
        except (ValueError, TypeError) as error:
            raise web.HTTPBadRequest(text="the body must be the JSON of a task") from error
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        loop, left = asyncio.get_running_loop(), False

        def emit(piece: str) -> bool:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)
            return not left

        writing = asyncio.create_task(self._run(name, lambda: model.write(task, emit)))
        writing.add_done_callback(lambda _: pieces.put_nowait(None))
        answer: web.StreamResponse | None = None
        try:
            while (piece := await pieces.get()) is not None:
                # Not before its first piece: a refusal is told by its status.
                answer = answer or await _begin(request)
                await answer.write(json.dumps({"text": piece}).encode() + b"\n")
            _, waited_s, compute_s = await writing
            answer = answer or await _begin(request)
            await answer.write(json.dumps({"waited_s": waited_s, "compute_s": compute_s}).encode() + b"\n")
        finally:
            # The caller may have hung up or spoken: the model stops at its next word.
            left = True
            writing.cancel()
        return answer

    def _model(self, request: web.Request) -> tuple[str, Model]:
        name = request.match_info["model"]
        if name not in self._models:
            raise web.HTTPNotFound(text="this model is not loaded")
        if self._unfinished >= MAX_WAITING + self._threads:
            raise web.HTTPServiceUnavailable(text="too many requests are waiting")
        return name, self._models[name]

    async def _run(self, name: str, work: Callable[[], T]) -> tuple[T, float, float]:
        """What `work` gives, seconds it waited for a thread, and seconds it took."""
        self._unfinished += 1
        requested = time.perf_counter()
        try:
            # Closing the connection cancels us, and the work with us; that has an effect only until a thread takes it.
            done, began, ended = await asyncio.get_running_loop().run_in_executor(
                self._executors[name], self._timed, work
            )
        except Exception as error:
            log.error("a model failed", model=name, exc_info=error)
            if isinstance(error, BrokenModelError):
                # Only a new process, which the keeper starts, can answer again.
                asyncio.get_running_loop().call_soon(os._exit, 1)
            raise web.HTTPServiceUnavailable(text=f"{name} failed ({type(error).__name__})") from error
        finally:
            self._unfinished -= 1
        return done, began - requested, ended - began

    def _timed(self, work: Callable[[], T]) -> tuple[T, float, float]:
        began, number = time.perf_counter(), next(self._numbers)
        self._running[number] = began
        try:
            return work(), began, time.perf_counter()
        finally:
            del self._running[number]


async def _body(request: web.Request, most_bytes: int) -> bytes:
    if (request.content_length or 0) > most_bytes:
        raise web.HTTPRequestEntityTooLarge(most_bytes, request.content_length or 0)  # before it is read
    try:
        async with asyncio.timeout(_READ_LIMIT_S):
            body = await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text="the body did not arrive in time") from error
    if len(body) > most_bytes:
        raise web.HTTPRequestEntityTooLarge(most_bytes, len(body))
    return body


async def _begin(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await answer.prepare(request)
    return answer


def runner_of(app: web.Application) -> web.AppRunner:
    """Serves `app`; cancels the request of a client that disconnects, and closes a connection that sends none."""
    return web.AppRunner(app, handler_cancellation=True, keepalive_timeout=_READ_LIMIT_S, access_log=None)
