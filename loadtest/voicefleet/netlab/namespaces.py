"""Network namespaces of ours: made, entered, removed; also those that a killed run left behind.

A namespace is named for the process that made it and the time that process began, so that a later run knows whether
its owner is gone: then what still runs in it is ended, and it is removed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from pyroute2 import IPRoute, NetlinkError, config, netns  # type: ignore[import-untyped]

from voicefleet.contract.errors import MissingPartError
from voicefleet.runtime.supervisor.guard import start_time

T = TypeVar("T")

# pyroute2 forks helpers and ends them with SIGTERM. Without this they share our event loop's signal handlers, and their
# SIGTERM cancels our own work.
config.disable_mp_signal = True

_FOLDER = Path("/run/netns")
_NAME = re.compile(r"vflab-(\d+)-(\d+)-(\d+)-[a-z]+")
_LOOPBACK = 1
"""Every namespace's first device."""
_numbers = itertools.count()


def require_rights() -> None:
    """Refuse early what cannot work.

    Raises:
        MissingPartError: we may not make namespaces, or cannot.
    """
    if os.geteuid() != 0:
        raise MissingPartError(
            "only root can make network namespaces",
            field="netlab",
            value=f"user {os.geteuid()}",
            hint="Run it as root, or in a container with the capabilities NET_ADMIN and SYS_ADMIN.",
        )
    if shutil.which("ip") is None:
        raise MissingPartError(
            "the program is not in PATH",
            field="ip",
            hint="Install your system's `iproute2` package (Debian and Ubuntu: `apt-get install iproute2`).",
        )


@contextlib.contextmanager
def routing(name: str, doing: str = "") -> Iterator[IPRoute]:
    """Links, addresses and routes of the namespace, over netlink, for the block; `doing` is for the error.

    Raises:
        MissingPartError: the kernel refused something in the block.
    """
    try:
        with IPRoute(netns=name) as route:
            yield route
    except (NetlinkError, OSError) as error:
        raise _refused(str(error), f"{name} {doing}".strip()) from error


def set_up_device(name: str, device: str, address: str, peer: str, **link: int) -> None:
    """Give the device its address and a route to `peer`, then bring it up; `link`: more of its link's attributes.

    Raises:
        MissingPartError: the kernel refused.
    """
    with routing(name) as route:
        (index,) = route.link_lookup(ifname=device)
        route.addr("add", index=index, local=address, address=peer, prefixlen=32)
        route.link("set", index=index, state="up", **link)


def tc(*arguments: str) -> str:
    """Run iproute2's `tc`, for netem: pyroute2 has no words for losses in bursts (`gemodel`).

    Raises:
        MissingPartError: it was refused, or is not there.
    """
    try:
        done = subprocess.run(["tc", *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise MissingPartError(
            "the program is not in PATH", field="tc", hint="Install your system's `iproute2` package."
        ) from error
    if done.returncode != 0:
        raise _refused(done.stderr.strip(), " ".join(arguments))
    return done.stdout


def _refused(why: str, value: str) -> MissingPartError:
    return MissingPartError(
        f"the kernel refused: {why}",
        field="netlab",
        value=value,
        hint="Run as root on a Linux with network namespaces and TUN devices.",
    )


def make(role: str) -> str:
    """A new namespace with its loopback up; its name, which ends in `role` (lower-case letters)."""
    name = f"vflab-{os.getpid()}-{start_time(os.getpid())}-{next(_numbers)}-{role}"
    try:
        netns.create(name)
    except OSError as error:
        raise _refused(str(error), name) from error
    with routing(name) as route:
        route.link("set", index=_LOOPBACK, state="up")
    # Neighbours' solicitations of IPv6 would be traffic that nobody asked for.
    set_kernel(name, {"net/ipv6/conf/all/disable_ipv6": "1"}, optional=True)
    return name


def remove(name: str) -> None:
    """End what runs in the namespace, then remove it; nothing happens when it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not _signal(pids(name), number):
            break
        _until_empty(name, 2.0)
    with contextlib.suppress(OSError):
        netns.remove(name)


def pids(name: str) -> list[int]:
    """Who runs in it."""
    return list(netns.ns_pids().get(name, []))


def sweep() -> list[str]:
    """Remove every namespace whose owner is gone; their names."""
    stale = [name for name in _names() if _owner_is_gone(name)]
    for name in stale:
        remove(name)
    return stale


def inside(name: str, command: Sequence[str]) -> list[str]:
    """The command line that runs `command` in the namespace, with the /sys of it."""
    return ["ip", "netns", "exec", name, *command]


def within(name: str, work: Callable[[], T]) -> T:
    """Do `work` in the namespace: in a thread of its own, since the namespace belongs to the thread.

    Raises:
        OSError: the namespace cannot be entered, or what `work` raises.
    """
    result: list[T] = []
    failure: list[BaseException] = []

    def enter() -> None:
        try:
            netns.setns(name, flags=0)
            result.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=enter, name=f"in-{name}")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def set_kernel(name: str, values: dict[str, str], *, optional: bool = False) -> None:
    """Write settings of the namespace's own network stack, paths below /proc/sys.

    Raises:
        MissingPartError: the kernel has no such setting, or refuses the value (unless `optional`).
    """

    def write() -> None:
        for path, value in values.items():
            try:
                (Path("/proc/sys") / path).write_text(value)
            except OSError as error:
                if not optional:
                    raise MissingPartError(
                        f"the kernel refused: {error.strerror}",
                        field=path,
                        value=value,
                        hint="Use a kernel that has it, or leave out what needs it.",
                    ) from error

    within(name, write)


def _names() -> Iterable[str]:
    return sorted(entry.name for entry in _FOLDER.glob("vflab-*")) if _FOLDER.is_dir() else []


def _owner_is_gone(name: str) -> bool:
    match = _NAME.fullmatch(name)
    return match is not None and start_time(int(match[1])) != match[2]


def _signal(targets: Sequence[int], number: signal.Signals) -> bool:
    for pid in targets:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return bool(targets)


def _until_empty(name: str, limit_s: float) -> None:
    pause = threading.Event()
    for _ in range(int(limit_s / 0.02)):
        if not pids(name):
            return
        pause.wait(0.02)
