"""One server process with fixed ports: start, readiness, stop, restart."""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from voicefleet.contract.errors import UnreachableError, UsageError
from voicefleet.runtime.supervisor.children import TERMINATE, Child, StopPlan, UnexpectedExit
from voicefleet.runtime.supervisor.ports import LOOPBACK

READY_LIMIT_S = 20.0
_POLL_S = 0.05
OnExit = Callable[[UnexpectedExit], None]


@dataclass(kw_only=True)
class Server(ABC):
    """A server process with fixed ports. `start`, `stop` and `restart` may be called from any event loop."""

    name: str
    program: Path
    port: int
    log_path: Path
    """Its output, appended to across restarts; gone with the server unless you gave a `log_dir`."""
    on_exit: OnExit | None = field(default=None, repr=False)
    stop_plan: StopPlan = field(default=TERMINATE, repr=False)
    _child: Child | None = field(default=None, repr=False)

    @property
    def proc(self) -> Child:
        """The process of the last start, ended or not."""
        if self._child is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._child

    @abstractmethod
    def arguments(self) -> list[str]:
        """Arguments of the program."""

    @abstractmethod
    def require_ports(self) -> None:
        """Raise ConfigError if another program has one of our ports."""

    @abstractmethod
    async def answers(self) -> bool:
        """Whether it serves."""

    async def start(self) -> None:
        """Start it and wait until it serves.

        Raises:
            ConfigError: a port is taken.
            UsageError: it ended at its start; the message has its last lines.
            UnreachableError: it runs, but does not answer within 20 s.
        """
        self.require_ports()
        self._child = Child(
            self.name,
            [self.program, *self.arguments()],
            log_path=self.log_path,
            stop_plan=self.stop_plan,
            on_exit=self.on_exit,
        )
        try:
            await self._until_ready(self._child)
        except BaseException:
            await self._child.stop()
            raise

    async def _until_ready(self, child: Child) -> None:
        deadline = time.monotonic() + READY_LIMIT_S
        while time.monotonic() < deadline:
            if (ended := child.unexpected_exit()) is not None:
                raise UsageError(
                    f"it ended at its start: {ended.describe()}",
                    field=self.name,
                    hint="Mend what its last lines say, then start again.",
                )
            if await self.answers():
                return
            await asyncio.sleep(_POLL_S)
        raise UnreachableError(
            f"it does not answer after {READY_LIMIT_S:.0f} s; its last lines:\n{child.log_tail()}",
            field=self.name,
            value=f"{LOOPBACK}:{self.port}",
            hint="Check the load of this machine, then start again.",
        )

    async def stop(self, *, kill: bool = False) -> None:
        """Stop it in order, or (`kill`) as a crash would."""
        if self._child is None:
            return
        if kill:
            self._child.kill()
        await self._child.stop()

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """Started for the block, and stopped at its end."""
        await self.start()
        try:
            yield
        finally:
            await self.stop()

    async def restart(self, *, kill: bool = False) -> None:
        """Stop it, then start it on the same ports with the same secrets."""
        await self.stop(kill=kill)
        await self.start()
