"""What scenarios need from this machine, and the versions of what ran."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata

from voicefleet.contract.errors import MissingPartError
from voicefleet.stack.find import Found, find_faketime, find_iptables, find_livekit_server, find_redis_server


def missing_prerequisites(needs: Iterable[str]) -> list[str]:
    """Which of a scenario's needs this machine does not meet, a sentence each."""
    found = []
    for need in needs:
        if need == "root":
            if os.geteuid() != 0:
                found.append("the packet filter is root's alone")
            continue
        try:
            _FINDERS[need]()
        except MissingPartError as error:
            found.append(f"{error.what} ({error.hint})")
    return found


_FINDERS: Mapping[str, Callable[[], Found]] = {"iptables": find_iptables, "faketime": find_faketime}


def versions() -> dict[str, str]:
    """What ran, for the result."""
    packages = {name: metadata.version(name) for name in ("voicefleet", "livekit-agents", "livekit")}
    return {**packages, "livekit-server": find_livekit_server().version, "redis-server": find_redis_server().version}
