"""Our side of the guard: start it with the first child, tell it what we own, replace it if it was killed."""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import subprocess
import sys
import threading
from pathlib import Path

from voicefleet.runtime.supervisor import guard
from voicefleet.runtime.supervisor.settings import environment


class Lifeline:
    """The pipe between this process and its guard. Thread-safe; one per process (`lifeline()`)."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.tag = f"{self.owner}-{secrets.token_hex(8)}"
        self._owned: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def environment(self) -> dict[str, str]:
        """The variable that marks a child as ours, kept beside the tags of the stacks we run in ourselves."""
        outer = environment().get(guard.TAG_VARIABLE)
        return {guard.TAG_VARIABLE: f"{outer}:{self.tag}" if outer else self.tag}

    def own(self, kind: str, name: str) -> None:
        """Hand a `pid` or a `dir` to the guard."""
        with self._lock:
            self._ensure()
            self._owned.append(f"{kind} {name}")
            self._tell(f"+{kind} {name}")

    def disown(self, kind: str, name: str) -> None:
        """It is gone by our own hand: the guard forgets it."""
        with self._lock, contextlib.suppress(ValueError):
            self._owned.remove(f"{kind} {name}")
            self._tell(f"-{kind} {name}")

    def ready(self) -> None:
        """Start the guard, so that no child is ever started without one."""
        with self._lock:
            self._ensure()

    def close(self) -> None:
        """Let the guard go; it sweeps what is left first. Nothing happens in a fork of the owner."""
        with self._lock:
            process, self._process = self._process, None
            if process is None or self.owner != os.getpid():
                return
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _ensure(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        script = Path(guard.__file__)
        # It must carry no tag, or it would be swept itself; a session of its own keeps Ctrl-C away.
        untagged = {name: value for name, value in environment().items() if name != guard.TAG_VARIABLE}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script), self.tag],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            env=untagged,
            start_new_session=True,
        )
        for owned in self._owned:
            self._tell(f"+{owned}")

    def _tell(self, message: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        # A guard killed this instant is replaced, and told everything, with the next child.
        with contextlib.suppress(OSError):
            self._process.stdin.write(f"{message}\n".encode())


_current: Lifeline | None = None
_current_lock = threading.Lock()


def lifeline() -> Lifeline:
    """The lifeline of this process; a fork gets its own."""
    global _current
    with _current_lock:
        if _current is None or _current.owner != os.getpid():
            _current = Lifeline()
            atexit.register(_current.close)
        return _current
