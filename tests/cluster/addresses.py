"""Private addresses of one test cluster: a /16 that no other run has and no network of this machine uses."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster.programs import find
from voicefleet.contract.errors import UsageError

_SECOND_OCTETS = range(201, 250)


@dataclass(frozen=True)
class Block:
    """The addresses of one cluster, all in `10.NUMBER.0.0/16`."""

    number: int

    @property
    def services(self) -> str:
        """The range of Service addresses."""
        return f"10.{self.number}.0.0/20"

    @property
    def host(self) -> str:
        """This machine's end of the link to the node: servers that pods must reach bind it."""
        return f"10.{self.number}.64.1"

    @property
    def node(self) -> str:
        """The node's end of the link."""
        return f"10.{self.number}.64.2"

    @property
    def pods(self) -> str:
        """The range of pod addresses."""
        return f"10.{self.number}.128.0/17"


@contextlib.contextmanager
def free_block() -> Iterator[Block]:
    """Hold a block for as long as the `with` block lasts, or the process lives.

    Raises:
        UsageError: all are taken.
    """
    directory = Path(tempfile.gettempdir()) / f"voicefleet-addresses-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    routes = subprocess.run([find("ip"), "-4", "route"], capture_output=True, text=True, check=True).stdout
    for number in _SECOND_OCTETS:
        if f"10.{number}." in routes:
            continue
        with (directory / str(number)).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            yield Block(number)
            return
    raise UsageError(
        "every block of test addresses is in use",
        field="addresses",
        value=f"10.{_SECOND_OCTETS[0]}.0.0 to 10.{_SECOND_OCTETS[-1]}.255.255",
        hint="End runs that are no longer needed.",
    )
