"""The processes of a test cluster: started in order, watched while we wait for them, ended in the reverse order.

All is synchronous: a cluster serves a whole session of tests, and so belongs to no event loop.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from voicefleet.contract.errors import UnreachableError, UsageError
from voicefleet.runtime.supervisor.children import Child

_POLL_S = 0.05
_KILL_LIMIT_S = 5.0


class Daemons:
    """Processes of one cluster. Each writes into `NAME.log` of one folder, and is started at most once at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, Child] = {}

    def start(self, name: str, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> Child:
        """Start a process, which the guard ends if we cannot."""
        child = Child(name, argv, log_path=self._folder / f"{name}.log", env=env)
        self._running[name] = child
        return child

    def child(self, name: str) -> Child:
        """The process of this name that was started last and not stopped."""
        return self._running[name]

    def stop(self, name: str, *, grace_s: float = 5.0) -> None:
        """End a process: SIGTERM, then SIGKILL of its group. Nothing happens when it does not run."""
        child = self._running.pop(name, None)
        if child is not None:
            end(child, grace_s)

    def stop_all(self, *, grace_s: float = 5.0) -> None:
        """End all, the last one first."""
        for name in reversed(list(self._running)):
            self.stop(name, grace_s=grace_s)

    def until(self, condition: Callable[[], bool], limit_s: float, what: str) -> None:
        """Wait until `condition` holds.

        Raises:
            UsageError: one of the processes ended meanwhile; the message has its last lines.
            UnreachableError: it does not hold within `limit_s`.
        """
        deadline = time.monotonic() + limit_s
        while not condition():
            for child in self._running.values():
                if (ended := child.unexpected_exit()) is not None:
                    raise UsageError(
                        f"it ended: {ended.describe()}", field=child.name, hint="Mend what its last lines say."
                    )
            if time.monotonic() > deadline:
                tails = "\n".join(f"--- {child.name}\n{child.log_tail(5)}" for child in self._running.values())
                raise UnreachableError(
                    f"not so after {limit_s:.0f} s; last lines of the servers:\n{tails}",
                    field=what,
                    hint="Check the load of this machine, then start again.",
                )
            time.sleep(_POLL_S)


def end(child: Child, grace_s: float) -> None:
    """SIGTERM, `grace_s` to follow it, then SIGKILL of the whole group."""
    child.send_signal(signal.SIGTERM)
    _until_ended(child, grace_s)
    child.kill()
    _until_ended(child, _KILL_LIMIT_S)


def _until_ended(child: Child, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while child.alive and time.monotonic() < deadline:
        time.sleep(_POLL_S / 5)
