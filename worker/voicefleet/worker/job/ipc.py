"""The channel between a job process and its worker's main process: one value a line, over a Unix socket.

The job sends observations; the main process tells the level of its ladder of tiers, at once and when it changes. It
never holds up a call: the job drops observations rather than wait, and a main process that hangs is not noticed by the
caller. Each end sees the end of the other as EOF.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.worker.ladder import level as levels
from voicefleet.worker.ladder.level import Level
from voicefleet.worker.telemetry.observations import Observation, decode, encode

MAX_BUFFERED_BYTES = 64 * 1024
MAX_LINE_BYTES = 16 * 1024

log = get_logger(__name__)


class JobChannel:
    """The job's end.

    Args:
        also: gets each observation too, whether or not the main process keeps up.
    """

    def __init__(self, also: Callable[[Observation], None] = lambda _: None) -> None:
        self._also = also
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader | None = None
        self._reading: asyncio.Task[None] | None = None
        self._told = asyncio.Event()
        self.level = Level()
        """What the main process told last."""
        self.on_level: Callable[[Level], None] = lambda _: None
        """Takes each level that is told from now on."""

    async def connect(self, path: str) -> None:
        """Connect if the main process is there within 0.3 s; without it the call goes on all the same."""
        try:
            async with asyncio.timeout(0.3):
                self._reader, self._writer = await asyncio.open_unix_connection(path, limit=MAX_LINE_BYTES)
        except (OSError, TimeoutError) as error:
            log.warning("no channel to the worker's main process", error=type(error).__name__)

    async def hear_levels(self) -> Level:
        """What the main process tells a job at its start, and hear it from now on; after 0.3 s without it the level
        is 0. For a worker with a ladder: another one tells nothing."""
        if self._reader is not None:
            self._reading = asyncio.create_task(self._read(self._reader))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    await self._told.wait()
        return self.level

    async def _read(self, reader: asyncio.StreamReader) -> None:
        # A main process that is gone tells nothing more: the call stays as it is.
        with contextlib.suppress(OSError, ValueError):
            while line := await reader.readline():
                self.level = levels.decode(line)
                self._told.set()
                self.on_level(self.level)

    def send(self, observation: Observation) -> None:
        """Send, or drop when the main process does not keep up or is gone."""
        self._also(observation)
        writer = self._writer
        if writer is None or writer.is_closing():
            return
        if writer.transport.get_write_buffer_size() < MAX_BUFFERED_BYTES:
            writer.write(encode(observation))

    async def close(self) -> None:
        if self._reading is not None:
            await cancel_and_wait([self._reading])
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(0.3):
                    await self._writer.wait_closed()


class JobChannelServer:
    """The main process's end: takes the observations of every job.

    Args:
        on_observation: gets the number of the channel it came on, and the observation.
        on_gone: gets the number of a channel that ended: its job is over, or dead.
        on_bad: called when a line cannot be read.
        level: told to each job that connects; None: the worker has no ladder, and jobs are told nothing.
    """

    def __init__(
        self,
        path: Path,
        on_observation: Callable[[int, Observation], None],
        on_gone: Callable[[int], None],
        on_bad: Callable[[], None],
        level: Callable[[], Level] | None = None,
    ) -> None:
        self._level = level
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._path = path
        self._on_observation = on_observation
        self._on_gone = on_gone
        self._on_bad = on_bad
        self._channels = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=MAX_LINE_BYTES)
        self._path.chmod(0o600)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def tell(self, level: Level) -> None:
        """Tell every job. One that does not read is not waited for: it hears the next one, or its call ends."""
        for writer in self._writers.values():
            if writer.transport.get_write_buffer_size() < MAX_BUFFERED_BYTES:
                writer.write(levels.encode(level))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._channels += 1
        number = self._channels
        self._writers[number] = writer
        if self._level is not None:
            writer.write(levels.encode(self._level()))
        try:
            while line := await reader.readline():
                try:
                    observation = decode(line)
                except ValueError:
                    self._on_bad()
                else:
                    self._on_observation(number, observation)
        except (OSError, ValueError):
            self._on_bad()
        finally:
            del self._writers[number]
            self._on_gone(number)
            writer.close()
