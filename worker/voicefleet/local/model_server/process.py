"""The model server's process: loads each model once, then answers job processes over a Unix socket.

    python -m voicefleet.local.model_server.keeper --socket PATH --models whisper,pocketsphinx --threads N

The socket appears once every model is loaded, readable by this user alone; then the process prints one JSON line:
``{"ready": true}`` (or ``{"ready": false, "error": ..., "field": ..., "hint": ...}``, and its exit code is 2). Requests
are served first come, first served, N at a time; one whose client disconnects while it waits is dropped. With
`--supervised` the process ends when its stdin closes, that is when its parent dies, however it dies.
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from voicefleet.contract.errors import ConfigError, MissingPartError, UsageError
from voicefleet.local.model_server.protocol import MAX_PCM_BYTES, MODELS, Reply
from voicefleet.local.model_server.recognition import BrokenModelError, Recognition, Recognizer
from voicefleet.runtime.logs.setup import configure_logs, get_logger
from voicefleet.runtime.settings import log_personal_data

MAX_WAITING = 64
"""Requests that may wait for a thread; at 0.1-0.3 s each, later ones would be answered too late for a call."""

_READ_LIMIT_S = 10.0

_EXTRAS = {"whisper-base": "local,models"}
"""The extras that bring a model's packages, where it is not `local`."""

log = get_logger(__name__)


def load(models: tuple[str, ...], threads: int) -> dict[str, Recognizer]:
    """Load the named models.

    Raises:
        ConfigError: no such model.
        MissingPartError: the package that carries it is not installed.
    """
    loaded: dict[str, Recognizer] = {}
    for name in models:
        try:
            if name == "whisper":
                from voicefleet.local.model_server.whisper import WhisperModel

                loaded[name] = WhisperModel(threads)
            elif name == "whisper-base":
                from voicefleet.local.model_server.whisper import WhisperModel, base_model

                loaded[name] = WhisperModel(threads, base_model)
            elif name == "pocketsphinx":
                from voicefleet.local.model_server.pocketsphinx import PocketSphinxPool

                loaded[name] = PocketSphinxPool(threads)
            else:
                raise ConfigError("no such model", field="models", value=name, hint=f"Use any of {', '.join(MODELS)}.")
        except ImportError as error:
            raise MissingPartError(
                f"the model needs the Python package {error.name}",
                field=f"models.{name}",
                hint=f"Install `voicefleet[{_EXTRAS.get(name, 'local')}]`.",
            ) from error
    return loaded


class RecognitionServer:
    """Answers requests with loaded models, `threads` at a time, first come, first served."""

    def __init__(self, models: Mapping[str, Recognizer], threads: int) -> None:
        self._models = models
        self._threads = threads
        self._executor = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="recognize")
        self._unfinished = 0
        self._running: dict[int, float] = {}

    def application(self) -> web.Application:
        """The routes of the protocol."""
        app = web.Application(client_max_size=MAX_PCM_BYTES)
        app.router.add_get("/status", self._status)
        app.router.add_post("/recognize/{model}", self._recognize)
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
        recognizer = self._models.get(request.match_info["model"])
        if recognizer is None:
            raise web.HTTPNotFound(text="this model is not loaded")
        pcm = await _read_pcm(request)
        if self._unfinished >= MAX_WAITING + self._threads:
            raise web.HTTPServiceUnavailable(text="too many requests are waiting")
        self._unfinished += 1
        requested = time.perf_counter()
        try:
            # Closing the connection cancels us, and the work with us; that has an effect only until a thread takes it.
            recognition, began, ended = await asyncio.get_running_loop().run_in_executor(
                self._executor, partial(self._timed, recognizer, pcm, dict(request.query))
            )
        except Exception as error:
            log.error("recognition failed", exc_info=error)
            if isinstance(error, BrokenModelError):
                # Only a new process, which the keeper starts, can recognize again.
                asyncio.get_running_loop().call_soon(os._exit, 1)
            raise web.HTTPServiceUnavailable(text=f"recognition failed ({type(error).__name__})") from error
        finally:
            self._unfinished -= 1
        reply = Reply(recognition.text, recognition.confidence_ratio, began - requested, ended - began)
        return web.json_response(asdict(reply))

    def _timed(self, recognizer: Recognizer, pcm: bytes, options: dict[str, Any]) -> tuple[Recognition, float, float]:
        began = time.perf_counter()
        key = threading.get_ident()
        self._running[key] = began
        try:
            return recognizer.recognize(pcm, options), began, time.perf_counter()
        finally:
            del self._running[key]


async def _read_pcm(request: web.Request) -> bytes:
    if (request.content_length or 0) > MAX_PCM_BYTES:
        raise web.HTTPRequestEntityTooLarge(MAX_PCM_BYTES, request.content_length or 0)  # before it is read
    try:
        async with asyncio.timeout(_READ_LIMIT_S):
            pcm = await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text="the audio did not arrive in time") from error
    if len(pcm) % 2:
        raise web.HTTPBadRequest(text="the audio must be 16-bit samples")
    return pcm


def runner_of(app: web.Application) -> web.AppRunner:
    """Serves `app`; cancels the request of a client that disconnects, and closes a connection that sends none."""
    return web.AppRunner(app, handler_cancellation=True, keepalive_timeout=_READ_LIMIT_S, access_log=None)


async def _serve(socket_path: Path, models: Mapping[str, Recognizer], threads: int, supervised: bool) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if supervised:
        _on_end_of_stdin(loop, stopping.set)
    server = RecognitionServer(models, threads)
    runner = runner_of(server.application())
    await runner.setup()
    site = web.UnixSite(runner, socket_path)
    before = os.umask(0o177)  # the socket is 0600 from its first moment
    try:
        await site.start()
    finally:
        os.umask(before)
    _print_line({"ready": True})
    await stopping.wait()
    await site.stop()
    socket_path.unlink(missing_ok=True)
    if server.busy:
        os._exit(0)  # Python would wait for the native code that still computes in a thread


def _on_end_of_stdin(loop: asyncio.AbstractEventLoop, then: Callable[[], None]) -> None:
    def watch() -> None:
        if not os.read(0, 1):
            loop.remove_reader(0)
            then()

    loop.add_reader(0, watch)


def _print_line(line: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(line), flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the server until SIGTERM, or until stdin ends when supervised."""
    parser = argparse.ArgumentParser(prog="voicefleet.local.model_server.keeper")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--models", required=True, help="comma-separated: " + ", ".join(MODELS))
    parser.add_argument("--threads", type=int, default=2, help="recognitions at a time")
    parser.add_argument("--supervised", action="store_true", help="end when stdin ends")
    chosen = parser.parse_args(arguments)
    configure_logs("WARNING", personal_data=log_personal_data(), process="models")
    try:
        models = load(tuple(m for m in chosen.models.split(",") if m), max(1, chosen.threads))
        asyncio.run(_serve(chosen.socket, models, max(1, chosen.threads), chosen.supervised))
    except UsageError as error:
        _print_line({"ready": False, "error": error.what, "field": error.field, "hint": error.hint})
        return error.exit_code
    return 0
