"""The node's machine: namespaces of its own for processes, mounts, network and host name, linked to ours by a cable.

Everything that a node does to a machine happens inside: mounts, chains of iptables, interfaces, network namespaces
of pods. Its first process ending, however that happens, ends every other one, and the kernel removes the rest. Only
control groups have no owner: those are removed by us, and after a crash by the next run.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cluster.addresses import Block
from cluster.process import Daemons
from cluster.programs import find
from voicefleet.contract.errors import MissingPartError
from voicefleet.runtime.supervisor.guard import start_time

CGROUPS = Path("/sys/fs/cgroup")
_PREFIX = "voicefleet-"
_CPU_SHARES = 16 * 1024
_START_LIMIT_S = 10.0
_GONE_LIMIT_S = 10.0

# The first process: a shell that reaps orphans. The folders that servers and CNI plugins write to whatever one
# tells them are covered, so nothing of it reaches this machine's own.
_INIT = """
set -e
mount --make-rshared /
for folder in /run /var/lib /var/log; do mount -t tmpfs -o mode=0755 tmpfs $folder; done
mkdir /run/netns /run/lock
hostname {name}
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
: >{folder}/machine.ready
while :; do sleep 1000 & wait $! || :; done
"""


class Machine:
    """One node's namespaces. `enter` gives the command that runs something inside."""

    def __init__(self, name: str, block: Block, folder: Path, daemons: Daemons) -> None:
        self.name = name
        self.block = block
        self.cgroup = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        self._folder = folder
        self._daemons = daemons

    def start(self) -> None:
        """Make the namespaces and the link.

        Raises:
            MissingPartError: we are not root, or `unshare` is not there.
            UsageError, UnreachableError: see `Daemons.until`.
        """
        if os.geteuid() != 0:
            raise MissingPartError(
                "a node needs root",
                field="user",
                value=os.geteuid(),
                hint="Run the cluster tests as root.",
            )
        remove_stale_cgroups()
        script = _INIT.format(name=self.name, folder=self._folder)
        self._daemons.start(
            "machine",
            [
                *(find("unshare"), "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"),
                *("--mount-proc", "--", "sh", "-c", script),
            ],
        )
        self._daemons.until((self._folder / "machine.ready").exists, _START_LIMIT_S, "the node's machine")
        self._link()
        for controller in _controllers():
            (controller / self.cgroup).mkdir()
        shares = CGROUPS / "cpu" / self.cgroup / "cpu.shares"
        if shares.exists():
            # All pods together would get no more than any one process of this machine.
            shares.write_text(str(_CPU_SHARES))

    def enter(self, argv: Sequence[str | Path]) -> list[str | Path]:
        """The command that runs `argv` inside. A signal to it does not reach `argv`, but its end does (SIGKILL)."""
        return [find("nsenter"), f"--target={self.init_pid}", "--all", "--", *argv]

    @property
    def init_pid(self) -> int:
        """The first process, by the number it has on this machine."""
        outer = self._daemons.child("machine").pid
        return int(Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0])

    def processes(self, pod_uid: str) -> list[int]:
        """Processes of a pod's containers, by the numbers they have on this machine."""
        found: set[int] = set()
        for controller in _controllers():
            for file in (controller / self.cgroup).rglob(f"pod{pod_uid}/*/cgroup.procs"):
                found |= {int(pid) for pid in file.read_text().split()}
        return sorted(found)

    def remove_cgroups(self) -> None:
        """Remove the control groups, once the processes in them are gone. Nothing happens when there are none."""
        _remove_cgroups(self.cgroup, _GONE_LIMIT_S)

    def _link(self) -> None:
        ours = _link_name(self.block)
        block = self.block
        _ip("link", "add", ours, "type", "veth", "peer", "name", "eth0", "netns", str(self.init_pid))
        _ip("address", "add", f"{block.host}/30", "dev", ours)
        _ip("link", "set", ours, "up")
        for arguments in (
            ("address", "add", f"{block.node}/30", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("route", "add", "default", "via", block.host),
        ):
            _run([str(part) for part in self.enter([find("ip"), *arguments])])
        for reached in (block.pods, block.services):
            _ip("route", "add", reached, "via", block.node)


def remove_stale_cgroups() -> None:
    """Remove what a run left that was killed. The name says which process made a group."""
    names = {path.name for controller in _controllers() for path in controller.glob(f"{_PREFIX}*-*")}
    for name in names:
        owner = name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and start_time(int(owner)) is None:
            _remove_cgroups(name, 0.0)


def cgroups(pid: int) -> list[Path]:
    """Control groups that are there of the nodes that a process made."""
    return [path for controller in _controllers() for path in controller.glob(f"{_PREFIX}{pid}-*")]


def link_exists(block: Block) -> bool:
    """Whether our end of the link to the node with these addresses is there."""
    return Path(f"/sys/class/net/{_link_name(block)}").exists()


def _link_name(block: Block) -> str:
    return f"vfnode{block.number}"


def _remove_cgroups(name: str, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while any(_still_there(controller / name) for controller in _controllers()) and time.monotonic() < deadline:
        time.sleep(0.05)


def _still_there(group: Path) -> bool:
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):  # a process in it is still dying
            Path(folder).rmdir()
    return group.exists()


def _controllers() -> Iterator[Path]:
    """The mounted hierarchies: one (version 2) or one for each controller (version 1)."""
    if (CGROUPS / "cgroup.controllers").exists():
        yield CGROUPS
        return
    for folder in sorted(CGROUPS.iterdir()):
        if (folder / "cgroup.procs").exists() and not folder.is_symlink():
            yield folder


def _ip(*arguments: str) -> None:
    _run([str(find("ip")), *arguments])


def _run(argv: Sequence[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} failed: {done.stderr.strip()}")
