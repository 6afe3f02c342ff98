"""What rows need of this machine, and what the machine is."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from voicefleet.contract.errors import MissingPartError
from voicefleet.stack.find import Found, find_faketime, find_iptables, find_livekit_server, find_redis_server


def lacking(needs: Iterable[str]) -> list[str]:
    """Which of a row's needs this machine does not meet, a sentence each."""
    found = []
    for need in needs:
        if need == "root":
            if os.geteuid() != 0:
                found.append("the packet filter is root's alone")
            continue
        try:
            _FINDERS[need]()
        except MissingPartError as error:
            found.append(f"{error.what} ({error.way_out})")
    return found


_FINDERS: Mapping[str, Callable[[], Found]] = {"iptables": find_iptables, "faketime": find_faketime}


def machine() -> dict[str, Any]:
    """The machine, for the result."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """What ran, for the result."""
    packages = {name: metadata.version(name) for name in ("voicefleet", "livekit-agents", "livekit")}
    return {**packages, "livekit-server": find_livekit_server().version, "redis-server": find_redis_server().version}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
