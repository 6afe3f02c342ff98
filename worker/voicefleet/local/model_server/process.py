"""The model server's process: loads each model once, then answers job processes over a Unix socket.

    python -m voicefleet.local.model_server.keeper --socket PATH --models whisper,pocketsphinx --threads N

The socket appears once every model is loaded, readable by this user alone; then the process prints one JSON line:
``{"ready": true}`` (or ``{"ready": false, "error": ..., "field": ..., "hint": ...}``, and its exit code is 2). Requests
of a model are served first come, first served, N at a time; one whose client disconnects while it waits is dropped.
With `--supervised` the process ends when its stdin closes, that is when its parent dies, however it dies.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from voicefleet.contract.errors import ConfigError, MissingPartError, UsageError
from voicefleet.local.model_server.models import Model
from voicefleet.local.model_server.packages import PACKAGES
from voicefleet.local.model_server.protocol import MODELS
from voicefleet.local.model_server.serving import RequestServer, runner_of
from voicefleet.runtime.logs.setup import configure_logs
from voicefleet.runtime.settings import log_personal_data

Loader = Callable[[int], Model]


def _whisper(threads: int) -> Model:
    from voicefleet.local.model_server.whisper import WhisperModel

    return WhisperModel(threads)


def _whisper_base(threads: int) -> Model:
    from voicefleet.local.model_server.whisper import WhisperModel, base_model

    return WhisperModel(threads, base_model)


def _pocketsphinx(threads: int) -> Model:
    from voicefleet.local.model_server.pocketsphinx import PocketSphinxPool

    return PocketSphinxPool(threads)


def _smollm2(threads: int) -> Model:
    from voicefleet.local.model_server.llama import LlamaModel, smollm2_weights

    return LlamaModel(threads, smollm2_weights())


def _piper(threads: int) -> Model:
    from voicefleet.local.model_server.piper import PiperPool

    return PiperPool(threads)


_LOADERS: Mapping[str, Loader] = {
    "whisper": _whisper,
    "whisper-base": _whisper_base,
    "pocketsphinx": _pocketsphinx,
    "smollm2": _smollm2,
    "piper": _piper,
}


def load(models: tuple[str, ...], threads: int) -> dict[str, Model]:
    """Load the named models.

    Raises:
        ConfigError: no such model.
        MissingPartError: the package that carries it is not installed.
    """
    loaded: dict[str, Model] = {}
    for name in models:
        if name not in _LOADERS:
            raise ConfigError("no such model", field="models", value=name, hint=f"Use any of {', '.join(MODELS)}.")
        try:
            loaded[name] = _LOADERS[name](threads)
        except ImportError as error:
            raise MissingPartError(
                f"the model needs the Python package {error.name}", field=f"models.{name}", hint=PACKAGES[name].hint
            ) from error
    return loaded


async def _serve(socket_path: Path, models: Mapping[str, Model], threads: int, supervised: bool) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if supervised:
        _on_end_of_stdin(loop, stopping.set)
    server = RequestServer(models, threads)
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
    parser.add_argument("--threads", type=int, default=2, help="requests of each model at a time")
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
