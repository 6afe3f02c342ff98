"""Keeps a worker's model server running: one process that loads each model once for all the worker's calls.

Job processes send their requests to it directly (`client`), so a worker whose main process hangs loses no call. Started
with `python -m voicefleet.local.model_server.keeper`, this module runs the server itself (`process`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import structlog

from voicefleet.contract.errors import ConfigError, MissingPartError
from voicefleet.local.model_server.protocol import MODELS, http_session
from voicefleet.local.settings import MODEL_SOCKET_VARIABLE, model_server_environment
from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.logs.errors import error_summary
from voicefleet.runtime.supervisor.keep_running import keep_running
from voicefleet.runtime.supervisor.restarts import Ended, RestartPolicy

log = structlog.get_logger(__name__)

_LONGEST_SOCKET_PATH = 107  # sun_path on Linux, without its final zero byte
_CHECK_EVERY_S = 5.0
_RESTARTS = RestartPolicy(first_wait_s=0.1, longest_wait_s=5.0, proven_after_s=_CHECK_EVERY_S)
_CHECK_LIMIT_S = 10.0
_STUCK_AFTER_S = 60.0
_STOP_LIMIT_S = 5.0


class ModelServer:
    """The model server as a child process: started once ready, restarted when it dies or hangs, stopped by pid.

    Args:
        models: names from the providers' `required_models`.
        socket_path: where job processes reach it, at most 107 bytes; None for a fresh private directory.
        threads: recognitions at a time.
        start_limit_s: seconds that loading may take.

    Raises (from `start`):
        MissingPartError: a model's package is not installed, or the process ends or stays silent while it loads.
        ConfigError: no such model, or the socket's path is too long.
    """

    def __init__(
        self,
        models: Sequence[str],
        socket_path: Path | None = None,
        *,
        threads: int = 2,
        start_limit_s: float = 60.0,
    ) -> None:
        self._models = tuple(models)
        self._own_directory = tempfile.TemporaryDirectory(prefix="voicefleet-models-") if socket_path is None else None
        self.socket_path = socket_path or Path(str(self._own_directory and self._own_directory.name)) / "models"
        self._threads = threads
        self._start_limit_s = start_limit_s
        self._process: asyncio.subprocess.Process | None = None
        self._clock = SystemClock()
        self._keeper: asyncio.Task[None] | None = None
        self.restarts = 0
        """Times the process had to be started again."""

    @property
    def pid(self) -> int | None:
        """Of the running process; None when there is none."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def environment(self) -> dict[str, str]:
        """What job processes need in their environment."""
        return {MODEL_SOCKET_VARIABLE: str(self.socket_path)}

    async def start(self) -> None:
        """Start the process and wait until every model is loaded."""
        if len(str(self.socket_path).encode()) > _LONGEST_SOCKET_PATH:
            raise ConfigError(
                f"longer than {_LONGEST_SOCKET_PATH} bytes, which a Unix socket's path may not be",
                field="model socket",
                value=str(self.socket_path),
                hint="Set TMPDIR to a shorter path.",
            )
        for model in self._models:
            if model not in MODELS:
                raise ConfigError("no such model", field="models", value=model, hint=f"Use any of {', '.join(MODELS)}.")
        await self._launch()
        self._keeper = asyncio.create_task(self._keep(), name="model server keeper")

    async def stop(self) -> None:
        """Stop the process; safe to call twice."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        await self._end_process()
        if self._own_directory is not None:
            self._own_directory.cleanup()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _launch(self) -> None:
        # A dead server leaves its socket behind; without it, clients wait for the new one instead of being refused.
        self.socket_path.unlink(missing_ok=True)
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "voicefleet.local.model_server.keeper",
            *("--socket", str(self.socket_path)),
            *("--models", ",".join(self._models)),
            *("--threads", str(self._threads)),
            "--supervised",
            stdin=asyncio.subprocess.PIPE,  # closes when we end, however we end; then the child ends too
            stdout=asyncio.subprocess.PIPE,
            env=model_server_environment(),
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(self._start_limit_s):
                line = await process.stdout.readline()
        except TimeoutError as error:
            await self._end_process()
            raise MissingPartError(
                f"did not load {', '.join(self._models)} within {self._start_limit_s:.0f} s",
                field="model server",
                hint="Give the worker more CPU.",
            ) from error
        try:
            _check_ready(line)
        except MissingPartError:
            await self._end_process()
            raise

    async def _keep(self) -> None:
        """Start the process again whenever it ends or hangs; never gives up while the worker runs."""
        await keep_running(self._run_once, _RESTARTS, self._clock, self._log_end)

    async def _run_once(self) -> Ended:
        """Start the process unless it runs, and watch it to its end; one that hangs is ended."""
        if self._process is None:
            self.restarts += 1
            try:
                await self._launch()
            except (MissingPartError, OSError) as error:
                log.error("model server did not start", error=error_summary(error))
                await self._end_process()
                return Ended(0.0)
        process, ready_s = self._process, self._clock.monotonic()
        assert process is not None
        while process.returncode is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _CHECK_EVERY_S)
            if process.returncode is None and not await self._responds():
                log.warning("model server hangs, ending it", pid=process.pid)
                break
        code = process.returncode
        await self._end_process()
        return Ended(self._clock.monotonic() - ready_s, code)

    @staticmethod
    def _log_end(ended: Ended, wait_s: float) -> None:
        log.warning("model server ended, starting it again", returncode=ended.code, in_s=wait_s)

    async def _responds(self) -> bool:
        try:
            async with (
                asyncio.timeout(_CHECK_LIMIT_S),
                http_session(self.socket_path) as http,
                http.get("/status", raise_for_status=True) as response,
            ):
                return float((await response.json())["oldest_running_s"]) < _STUCK_AFTER_S
        except (aiohttp.ClientError, OSError, ValueError, LookupError):
            return False

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(number)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), _STOP_LIMIT_S)
                    break
        if process.stdin is not None:
            process.stdin.close()


def _check_ready(line: bytes) -> None:
    try:
        report = json.loads(line)
    except ValueError:
        report = {}
    if not report.get("ready"):
        raise MissingPartError(
            report.get("error", "ended while it loaded its models"),
            field=report.get("field", "model server"),
            hint=report.get("hint", "Look at its error output above; it may need more memory."),
        )


if __name__ == "__main__":
    from voicefleet.local.model_server.process import main

    sys.exit(main())
