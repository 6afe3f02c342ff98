"""Free loopback ports, each held by a lock file for as long as its user lives.

Asking the kernel for port 0 and closing the socket invites two races: another program's outgoing connection can
take the port (it is in the ephemeral range), and another test session can be given the same one. So ports come
from below the usual ephemeral range, each is locked in a directory shared by all runs of this user, and each is
proved free by binding it. The lock ends with the process that holds it, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Literal

from voicefleet.contract.errors import ConfigError, UsageError

Transport = Literal["tcp", "udp"]
LOOPBACK = "127.0.0.1"
ANY = "0.0.0.0"
_FIRST, _LAST = 20_000, 32_000
_TRIES = 400


def is_free(port: int, transport: Transport, host: str = LOOPBACK) -> bool:
    """Whether a server could bind `port` on `host` now."""
    kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if transport == "tcp":
            # As servers do: connections of the last run that linger in TIME_WAIT do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def require_free(port: int, transport: Transport, *, field: str, host: str = LOOPBACK) -> None:
    """Refuse a port that is in use.

    Raises:
        ConfigError: the port is taken, or may not be used by us.
    """
    if not is_free(port, transport, host):
        raise ConfigError(
            f"this {transport.upper()} port is already in use on {host}, or needs more rights",
            field=field,
            value=port,
            hint=f"Stop what uses it (`ss -lp 'sport = :{port}'` names it), or choose another port.",
        )


class Ports:
    """Hands out free ports and holds them until `close` (or the end of a `with` block).

    Args:
        directory: where the locks are; the same for all runs that must not collide.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory or Path(tempfile.gettempdir()) / f"voicefleet-ports-{os.getuid()}"
        self._locks: list[int] = []
        # Its own source: a program that seeds `random` would make every run try the same ports.
        self._random = random.SystemRandom()

    def tcp(self, host: str = LOOPBACK) -> int:
        """A free TCP port."""
        return self._pick("tcp", host)

    def udp(self, host: str = LOOPBACK) -> int:
        """A free UDP port."""
        return self._pick("udp", host)

    def _pick(self, transport: Transport, host: str) -> int:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _ in range(_TRIES):
            port = self._random.randrange(_FIRST, _LAST)
            if self._lock(f"{transport}-{port}"):
                if is_free(port, transport, host):
                    return port
                os.close(self._locks.pop())
        raise UsageError(
            f"no free {transport.upper()} port found in {_TRIES} tries",
            field="ports",
            value=f"{_FIRST}-{_LAST}",
            hint="End runs that are no longer needed, or give the ports yourself.",
        )

    def _lock(self, name: str) -> bool:
        descriptor = os.open(self._directory / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        # The file stays when the lock ends: removing it would let two holders lock two files of one name.
        self._locks.append(descriptor)
        return True

    def close(self) -> None:
        """Give all ports back."""
        while self._locks:
            os.close(self._locks.pop())

    def __enter__(self) -> Ports:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
