"""The guard: one small process beside ours that ends everything we started if we die without warning.

Why a process of its own, and not `PR_SET_PDEATHSIG`: that needs code between fork and exec (unsafe in a program
with threads), fires when the *thread* that forked ends, reaches only direct children and only exists on Linux.
The guard blocks on a pipe whose other end only we hold, so it wakes however we end, kill -9 included. It then
ends the processes we told it of and, on Linux, every process that carries our tag in its environment: that
reaches grandchildren, children of a child that died first, and a child started in our very last moment.

It is run by path (`python -I -S guard.py TAG`) with only the standard library, so it starts in about 20 ms.
Messages, one a line on stdin: `+pid N`, `-pid N`, `+dir PATH`, `-dir PATH` (private directories to remove).
It does not survive its own kill -9; `children` starts another with the next child.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path

TAG_VARIABLE = "VOICEFLEET_STACK"
"""Environment variable with the tags of every stack a process belongs to, outermost first, joined by `:`."""

DIRECTORY_PREFIX = "voicefleet-"
"""Only directories whose own name starts with this are ever removed."""

_TERM_WAIT_S = 2.0
_KILL_WAIT_S = 5.0
_POLL_S = 0.05


def start_time(pid: int) -> str | None:
    """Start time of a live process in clock ticks since boot, or None when it is gone (a zombie is gone).

    Together with the pid it names one process for ever. Without /proc the answer is `"?"` for a live process.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        try:
            os.kill(pid, 0)
        except OSError:
            return None
        return "?"
    # The command name may hold spaces and parentheses: the fields start after the last one.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else fields[19]


def tagged_pids(tag: str) -> set[int]:
    """Live processes of this user whose environment at exec carried `tag`, ourselves excepted (Linux only)."""
    found: set[int] = set()
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        if pid != os.getpid() and _carries(entry, tag) and start_time(pid) is not None:
            found.add(pid)
    return found


def _carries(entry: Path, tag: str) -> bool:
    try:
        environ = _environ(entry)
    except OSError:  # another user's process, a thread of the kernel, or one that has just ended
        return False
    prefix = f"{TAG_VARIABLE}=".encode()
    return any(
        variable.startswith(prefix) and tag.encode() in variable[len(prefix) :].split(b":")
        for variable in environ.split(b"\0")
    )


def _environ(entry: Path) -> bytes:
    """A process in the middle of its exec shows an empty environment for a moment; it is asked again."""
    for _ in range(10):
        if environ := (entry / "environ").read_bytes():
            return environ
        (entry / "exe").readlink()  # raises for a thread of the kernel or a zombie, which never have one
        time.sleep(0.001)
    return b""


class Register:
    """What the guarded process has told us about: leaders of process groups, and private directories."""

    def __init__(self) -> None:
        self.leaders: dict[int, str] = {}
        self.directories: set[str] = set()

    def apply(self, line: str) -> None:
        """Apply one message; a malformed one is ignored, since a guard that stops guards nothing."""
        change, _, value = line.partition(" ")
        if change in {"+pid", "-pid"} and value.isdigit():
            pid = int(value)
            began = start_time(pid)
            if change == "-pid":
                self.leaders.pop(pid, None)
            elif began is not None:
                self.leaders[pid] = began
        elif change == "+dir" and Path(value).name.startswith(DIRECTORY_PREFIX):
            self.directories.add(value)
        elif change == "-dir":
            self.directories.discard(value)

    def live_leaders(self) -> set[int]:
        """Registered processes that are still the very ones that were registered."""
        return {pid for pid, began in self.leaders.items() if start_time(pid) == began}


def sweep(register: Register, tag: str) -> None:
    """SIGTERM to everything left, SIGKILL to what remains after 2 s, then remove the private directories."""
    _signal_until_gone(register, tag, signal.SIGTERM, _TERM_WAIT_S)
    _signal_until_gone(register, tag, signal.SIGKILL, _KILL_WAIT_S)
    for directory in register.directories:
        shutil.rmtree(directory, ignore_errors=True)


def _signal_until_gone(register: Register, tag: str, number: signal.Signals, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    told: set[int] = set()
    quiet_looks = 0
    while time.monotonic() < deadline:
        leaders = register.live_leaders()
        left = leaders | tagged_pids(tag)
        # Twice nothing: a process between fork and exec can be missed by one look.
        quiet_looks = 0 if left else quiet_looks + 1
        if quiet_looks == 2:
            return
        for pid in left - told:
            _send(pid, number, group=pid in leaders and number == signal.SIGKILL)
        told |= left
        time.sleep(_POLL_S)


def _send(pid: int, number: signal.Signals, *, group: bool) -> None:
    try:
        if group:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except OSError:
        pass


def main(tag: str) -> None:
    """Serve until the guarded process is gone (its end of stdin closed, or we have a new parent), then sweep."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    parent = os.getppid()
    register = Register()
    pending = b""
    while True:
        # The parent is checked too: a process it forked without exec holds the pipe open after its death.
        ready, _, _ = select.select([0], [], [], 1.0)
        if not ready:
            if os.getppid() != parent:
                break
            continue
        data = os.read(0, 65536)
        if not data:
            break
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            register.apply(line.decode(errors="replace"))
    sweep(register, tag)


if __name__ == "__main__":
    main(sys.argv[1])
