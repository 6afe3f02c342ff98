"""Child processes: started apart from the terminal, watched, stopped in order, never left behind.

Each child leads its own session, so Ctrl-C reaches only us and we stop the children in the order we choose. A
thread per child waits for its end, so a child belongs to no event loop and can be started in one and stopped in
another. When a child ends, the rest of its process group is killed at once, as a container does when its first
process ends. If this process dies, even of kill -9, the guard ends every child (see `guard`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from voicefleet.contract.errors import MissingPartError
from voicefleet.runtime.supervisor.exits import describe_code, last_lines
from voicefleet.runtime.supervisor.guard import DIRECTORY_PREFIX, tagged_pids
from voicefleet.runtime.supervisor.lifeline import lifeline
from voicefleet.runtime.supervisor.settings import environment

StopPlan = Sequence[tuple[signal.Signals, float]]
"""Signals to send to the child, each with the seconds to wait after it; SIGKILL of its group always follows."""

TERMINATE: StopPlan = ((signal.SIGTERM, 5.0),)


@dataclass(frozen=True)
class UnexpectedExit:
    """The end of a child that was not asked to stop."""

    name: str
    pid: int
    returncode: int
    """Exit status, or minus the number of the signal that killed it."""
    log_path: Path
    log_tail: str
    """Last lines of its output."""

    def describe(self) -> str:
        """One sentence, then the last lines of the log."""
        tail = f"; its last lines:\n{self.log_tail}" if self.log_tail else " and wrote nothing"
        return f"{self.name} (pid {self.pid}) {describe_code(self.returncode)}{tail}"


class Child:
    """One running process. Enter `running(child)` to have it stopped for you.

    Args:
        name: what to call it in messages.
        argv: program and arguments; everyone on the machine can read these, so no secrets.
        log_path: file its output is appended to (created with mode 0600).
        env: variables added to ours.
        stop_plan: how `stop` asks it to end.
        on_exit: called once with the `UnexpectedExit` if it ends unasked: in the event loop that was running at the
            start if there was one, else in the watcher's thread.
        outlive: leave it running if this process dies. It still ends with the stack we ourselves run in: a
            worker outlives a controller that crashes, and ends with the demo that started both.

    Raises:
        MissingPartError: the program cannot be executed.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stop_plan: StopPlan = TERMINATE,
        on_exit: Callable[[UnexpectedExit], None] | None = None,
        outlive: bool = False,
    ) -> None:
        self.name = name
        self.log_path = log_path
        self._stop_plan = stop_plan
        self._on_exit = on_exit
        self._outlive = outlive
        self._stopping = False
        # Held while the child is reaped and while it is signalled: a number is never signalled after its reuse.
        self._reaping = threading.Lock()
        self._ended: Future[int] = Future()
        # A future that is "running" cannot be cancelled, so a waiter that gives up does not spoil it for others.
        self._ended.set_running_or_notify_cancel()
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
        self._popen = self._start(argv, env, cwd)
        self.pid = self._popen.pid
        if not outlive:
            lifeline().own("pid", str(self.pid))
        threading.Thread(target=self._watch, name=f"watch-{name}", daemon=True).start()

    def _start(
        self, argv: Sequence[str | Path], env: Mapping[str, str] | None, cwd: Path | None
    ) -> subprocess.Popen[bytes]:
        ours = {} if self._outlive else lifeline().environment()
        if not self._outlive:
            lifeline().ready()
        descriptor = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return subprocess.Popen(
                [str(part) for part in argv],
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=subprocess.STDOUT,
                env={**environment(), **ours, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise MissingPartError(
                f"{self.name} cannot be started: {error.strerror}",
                field="program",
                value=str(argv[0]),
                hint="Check that the file exists and may be executed, or run `voicefleet doctor`.",
            ) from error
        finally:
            os.close(descriptor)

    def __repr__(self) -> str:
        return f"Child({self.name!r}, pid={self.pid}, returncode={self.returncode})"

    @property
    def returncode(self) -> int | None:
        """Exit status (negative: killed by that signal), or None while it runs."""
        return self._ended.result() if self._ended.done() else None

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return not self._ended.done()

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of its output, at most 16 KiB."""
        return "\n".join(last_lines(self.log_path, lines))

    def unexpected_exit(self) -> UnexpectedExit | None:
        """How it ended, if it ended without being asked to; else None."""
        code = self.returncode
        if code is None or self._stopping:
            return None
        return UnexpectedExit(self.name, self.pid, code, self.log_path, self.log_tail())

    def send_signal(self, number: signal.Signals) -> None:
        """Signal the child alone (chaos: SIGSTOP, SIGKILL). Nothing happens when it has ended."""
        with self._reaping, contextlib.suppress(ProcessLookupError):
            if self.alive:
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL the whole process group now; `wait` for the end."""
        self._stopping = True
        with self._reaping:
            if self.alive:
                self._kill_group()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for its end, asked for or not, and return the exit status."""
        return await asyncio.wrap_future(self._ended)

    async def stop(self) -> int:
        """Stop it by its plan, then by SIGKILL; return the exit status. Cancelling this kills it at once."""
        self._stopping = True
        try:
            for number, wait_s in self._stop_plan:
                self.send_signal(number)
                with contextlib.suppress(TimeoutError):
                    return await asyncio.wait_for(self.wait(), wait_s)
        finally:
            self.kill()
        return await self.wait()

    def _watch(self) -> None:
        # Without reaping: the dead leader still holds its number, so the group killed is surely its own.
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self._reaping:
            self._kill_group()
            code = self._popen.wait()
            self._ended.set_result(code)
        if not self._outlive:
            lifeline().disown("pid", str(self.pid))
        ended = self.unexpected_exit()
        if ended is None or self._on_exit is None:
            return
        if self._loop is None:
            self._on_exit(ended)
        else:
            with contextlib.suppress(RuntimeError):  # the loop closed first: no callback is left to run
                self._loop.call_soon_threadsafe(self._on_exit, ended)


@contextlib.asynccontextmanager
async def running(child: Child) -> AsyncIterator[Child]:
    """Stop `child` on the way out: `await stack.enter_async_context(running(Child(...)))`."""
    try:
        yield child
    finally:
        await child.stop()


async def first_unexpected_exit(children: Sequence[Child]) -> UnexpectedExit:
    """Wait until one of `children` ends unasked."""
    waits = {asyncio.ensure_future(child.wait()): child for child in children}
    try:
        while waits:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in done:
                ended = waits.pop(wait).unexpected_exit()
                if ended is not None:
                    return ended
        return await asyncio.Future()  # all were stopped on purpose: there is nothing left to report
    finally:
        for wait in waits:
            wait.cancel()


@contextlib.contextmanager
def private_directory(what: str) -> Iterator[Path]:
    """A directory of mode 0700 for configuration with secrets; the guard removes it if we cannot."""
    with tempfile.TemporaryDirectory(prefix=f"{DIRECTORY_PREFIX}{what}-", ignore_cleanup_errors=True) as name:
        lifeline().own("dir", name)
        try:
            yield Path(name)
        finally:
            lifeline().disown("dir", name)


def leftover_pids() -> set[int]:
    """Live processes that this process started, at any depth (Linux only): empty once all is stopped."""
    return tagged_pids(lifeline().tag)
