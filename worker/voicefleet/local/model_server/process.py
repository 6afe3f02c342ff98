"""The model server's process: loads each model once, then answers job processes over a Unix socket.

    python -m voicefleet.local.model_server.keeper --socket PATH --models whisper,pocketsphinx --threads N

The socket appears once every model is loaded, readable by this user alone; then one JSON line on stdout says
``{"ready": true}`` (or ``{"ready": false, "error": ..., "field": ..., "hint": ...}`` and exit code 2). Requests are
taken first come, first served, N at a time; one whose client hangs up while it waits is dropped. With `--supervised`
the process ends as soon as its stdin does, that is when its parent dies, however it dies.
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
from functools import partial
from pathlib import Path
from typing import Any

from voicefleet.contract.errors import ConfigError, MissingPartError, UsageError
from voicefleet.local.model_server.protocol import (
    MAX_PAYLOAD_BYTES,
    MODELS,
    SAMPLE_RATE,
    Message,
    ProtocolError,
    encode,
    read_message,
)
from voicefleet.local.model_server.recognition import BrokenModelError, Recognition, Recognizer
from voicefleet.runtime.logs.setup import configure_logs, get_logger
from voicefleet.runtime.settings import log_personal_data

MAX_WAITING = 64
"""Requests that may wait for a thread; at 0.1-0.3 s each, later ones would be answered too late for a call."""

_READ_LIMIT_S = 10.0

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
            elif name == "pocketsphinx":
                from voicefleet.local.model_server.pocketsphinx import PocketSphinxPool

                loaded[name] = PocketSphinxPool(threads)
            else:
                raise ConfigError("no such model", field="models", value=name, hint=f"Use any of {', '.join(MODELS)}.")
        except ImportError as error:
            raise MissingPartError(
                f"the model needs the Python package {error.name}",
                field=f"models.{name}",
                hint="Install `voicefleet[local]`.",
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

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection: one request, one reply."""
        try:
            async with asyncio.timeout(_READ_LIMIT_S):
                request = await read_message(reader)
            reply = await self._reply(request, reader)
            if reply is not None:
                writer.write(encode(Message(reply)))
                await writer.drain()
        except ProtocolError as error:
            with contextlib.suppress(ConnectionError):
                writer.write(encode(Message(_refusal(str(error), retryable=False))))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away: nobody is left to tell
        finally:
            writer.close()

    async def _reply(self, request: Message, reader: asyncio.StreamReader) -> dict[str, Any] | None:
        match request.header.get("op"):
            case "ping":
                return self._status()
            case "recognize":
                return await self._recognize(request, reader)
            case other:
                return _refusal(f"unknown op {other!r}", retryable=False)

    @property
    def busy(self) -> bool:
        """Whether a request is being computed."""
        return bool(self._running)

    def _status(self) -> dict[str, Any]:
        oldest = min(self._running.values(), default=None)
        return {
            "ok": True,
            "models": list(self._models),
            "unfinished": self._unfinished,
            "oldest_running_s": 0.0 if oldest is None else time.perf_counter() - oldest,
        }

    async def _recognize(self, request: Message, reader: asyncio.StreamReader) -> dict[str, Any] | None:
        name, options = request.header.get("model"), request.header.get("options") or {}
        recognizer = self._models.get(name) if isinstance(name, str) else None
        if recognizer is None:
            return _refusal(f"model {name!r} is not loaded", retryable=False)
        if len(request.payload) % 2 or not isinstance(options, dict):
            return _refusal("the payload must be 16-bit samples, the options an object", retryable=False)
        if self._unfinished >= MAX_WAITING + self._threads:
            return _refusal("too many requests are waiting", retryable=True)
        self._unfinished += 1
        asked = time.perf_counter()
        work = asyncio.get_running_loop().run_in_executor(
            self._executor, partial(self._timed, recognizer, request.payload, options)
        )
        work.add_done_callback(self._finished)
        hangup = asyncio.create_task(reader.read(1))
        waiting_for: list[asyncio.Future[Any]] = [work, hangup]
        try:
            await asyncio.wait(waiting_for, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()  # only has an effect while it still waits for a thread
                return None
            return self._outcome(work, request, asked)
        finally:
            hangup.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await hangup

    def _outcome(
        self, work: asyncio.Future[tuple[Recognition, float, float]], request: Message, asked: float
    ) -> dict[str, Any]:
        error = work.exception()
        if isinstance(error, BrokenModelError):
            # Only a fresh process, from the supervisor, mends it.
            asyncio.get_running_loop().call_soon(os._exit, 1)
        if error is not None:
            log.error("recognition failed", exc_info=error)
            return _refusal(f"recognition failed ({type(error).__name__})", retryable=True)
        recognition, began, ended = work.result()
        return {
            "ok": True,
            "text": recognition.text,
            "confidence_ratio": recognition.confidence_ratio,
            "audio_s": len(request.payload) / 2 / SAMPLE_RATE,
            "waited_s": began - asked,
            "compute_s": ended - began,
        }

    def _timed(self, recognizer: Recognizer, pcm: bytes, options: dict[str, Any]) -> tuple[Recognition, float, float]:
        began = time.perf_counter()
        key = threading.get_ident()
        self._running[key] = began
        try:
            return recognizer.recognize(pcm, options), began, time.perf_counter()
        finally:
            del self._running[key]

    def _finished(self, work: asyncio.Future[tuple[Recognition, float, float]]) -> None:
        self._unfinished -= 1
        if not work.cancelled():
            work.exception()  # marks it as seen: the client may have gone


def _refusal(error: str, *, retryable: bool) -> dict[str, Any]:
    return {"ok": False, "error": error, "retryable": retryable}


async def _serve(socket_path: Path, models: Mapping[str, Recognizer], threads: int, supervised: bool) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if supervised:
        _on_end_of_stdin(loop, stopping.set)
    server = RecognitionServer(models, threads)
    before = os.umask(0o177)  # the socket is 0600 from its first moment
    try:
        listening = await asyncio.start_unix_server(server.handle, socket_path, limit=MAX_PAYLOAD_BYTES)
    finally:
        os.umask(before)
    _say({"ready": True})
    await stopping.wait()
    listening.close()
    socket_path.unlink(missing_ok=True)
    if server.busy:
        os._exit(0)  # Python would wait for the native code that still computes in a thread


def _on_end_of_stdin(loop: asyncio.AbstractEventLoop, then: Callable[[], None]) -> None:
    def watch() -> None:
        if not os.read(0, 1):
            loop.remove_reader(0)
            then()

    loop.add_reader(0, watch)


def _say(line: dict[str, Any]) -> None:
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
        _say({"ready": False, "error": error.what, "field": error.field, "hint": error.hint})
        return error.exit_code
    return 0
