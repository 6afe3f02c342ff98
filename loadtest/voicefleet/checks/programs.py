"""Doctor's check of the programs that the demo and the load test's fleets run but that we do not ship."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from voicefleet.contract.errors import UsageError
from voicefleet.runtime.command.finding import Finding, ok, warning
from voicefleet.stack.find import Found, find_flite, find_livekit_server, find_redis_server


def check() -> Iterator[Finding]:
    """A finding for each program."""
    yield _program("livekit-server", find_livekit_server)
    yield _program("redis-server", find_redis_server)
    yield _program("flite", find_flite)


def _program(name: str, find: Callable[[], Found]) -> Finding:
    try:
        found = find()
    except UsageError as error:
        return warning(name, error.what, error.hint)
    return ok(name, f"{found.version}, {found.path} ({found.how})")
