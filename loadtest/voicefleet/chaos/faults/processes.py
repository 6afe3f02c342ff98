"""Signals to workers, their main processes and their job processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from voicefleet.chaos.fault_context import FaultContext, FaultError
from voicefleet.runtime.supervisor.guard import start_time

STALL_S = 18.0
"""The rest of the caller's question (at most 4 s), the 10 s after which silence counts, and a margin: an unrepaired
stall is always heard."""
SETTLE_S = 1.0
"""After a kill, before the callers' time begins to count towards their end."""


async def worker_kill9(context: FaultContext) -> None:
    """The whole process group of the busiest worker is killed."""
    worker, calls = await context.busiest()
    context.mark_injection(hit=calls)
    os.killpg(worker.pid, signal.SIGKILL)
    await context.sleep(SETTLE_S)


async def main_kill9(context: FaultContext) -> None:
    """Only the main process of the busiest worker is killed; its end takes the rest with it, if anything does."""
    worker, calls = await context.busiest()
    context.mark_injection(hit=calls)
    os.kill(worker.pid, signal.SIGKILL)
    await context.sleep(SETTLE_S)


async def job_kill9(context: FaultContext) -> None:
    """One process that serves a call is killed."""
    job = await _a_job(context)
    context.mark_injection(hit=1)
    os.kill(job, signal.SIGKILL)
    await context.sleep(SETTLE_S)


async def main_sigstop(context: FaultContext) -> None:
    """Only the main process of the busiest worker stalls. Its calls need nothing of it."""
    worker, _ = await context.busiest()
    await _stall(context, [worker.pid], hit=0)


async def job_sigstop(context: FaultContext) -> None:
    """One process that serves a call stalls, and wakes up later."""
    await _stall(context, [await _a_job(context)], hit=1)


async def worker_sigstop(context: FaultContext) -> None:
    """Every process of the busiest worker stalls, and wakes up later."""
    worker, calls = await context.busiest()
    await _stall(context, group(worker.pid), hit=calls)


async def _stall(context: FaultContext, pids: list[int], *, hit: int) -> None:
    began = {pid: start_time(pid) for pid in pids}

    def wake() -> None:
        for pid, start in began.items():
            # A number that another process has by now is not ours to signal.
            if start is not None and start_time(pid) == start:
                os.kill(pid, signal.SIGCONT)

    context.undo.callback(wake)
    context.mark_injection(hit=hit)
    for pid, start in began.items():
        if start is not None and start_time(pid) == start:
            os.kill(pid, signal.SIGSTOP)
    await context.sleep(STALL_S)
    gone = sum(start_time(pid) != start for pid, start in began.items())
    if gone:
        context.note(f"{gone} of {len(pids)} stalled processes had been ended when the others woke")
    wake()


async def _a_job(context: FaultContext) -> int:
    """The pid of a process that serves a call, one of the busiest worker's at random."""
    worker, _ = await context.busiest()
    found = serving(worker.pid, context.livekit.port)
    if not found:
        raise FaultError(f"no process of {worker.id} is connected to LiveKit for a call")
    return found[int(context.rng.integers(len(found)))]


def group(leader: int) -> list[int]:
    """Every process of the group that `leader` leads, itself first."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader and fields[0] not in ("Z", "X"):
            found.append(int(entry.name))
    return sorted(found, key=lambda pid: (pid != leader, pid))


def serving(leader: int, livekit_port: int) -> list[int]:
    """The job processes of a worker that serve a call: those with a connection of their own to LiveKit.

    Idle ones have none, and the worker's own connection is its main process's.
    """
    sockets = connected_inodes(Path("/proc/net/tcp").read_text(), livekit_port)
    return [pid for pid in group(leader) if pid != leader and _inodes(pid) & sockets]


def connected_inodes(table: str, port: int) -> set[str]:
    """Of /proc/net/tcp: the sockets connected to a remote `port`."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return {row[9] for row in rows if row[3] == "01" and int(row[2].rpartition(":")[2], 16) == port}


def _inodes(pid: int) -> set[str]:
    found = set()
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            target = str(link.readlink())
            if target.startswith("socket:["):
                found.add(target.removeprefix("socket:[").removesuffix("]"))
    except OSError:  # it, or a descriptor of it, is gone
        pass
    return found
