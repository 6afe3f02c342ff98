"""A CPU account of its own for some processes, as a container has one: whoever runs in it reads what these have used,
whatever else the machine does. Linux, and root."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from support.eventually import happens

needs_cpu_account = pytest.mark.skipif(
    not os.environ.get("CI") and (os.geteuid() != 0 or not shutil.which("unshare")),
    reason="only root makes a CPU account of its own (a cgroup); in CI it must be there",
)
_V1, _V2 = Path("/sys/fs/cgroup/cpuacct"), Path("/sys/fs/cgroup")
_ENTER = 'echo $$ >"$1/cgroup.procs" && mount --make-rprivate / && mount --bind "$1" "$2" && shift 2 && exec "$@"'


class CpuAccount:
    """One account: see `cpu_account`."""

    def __init__(self, folder: Path, mounted: Path) -> None:
        self._folder = folder
        self._mounted = mounted

    def holds(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` on this account, and has it see no other."""
        return ["unshare", "-m", "sh", "-c", _ENTER, "sh", str(self._folder), str(self._mounted), *argv]


@contextlib.asynccontextmanager
async def cpu_account() -> AsyncIterator[CpuAccount]:
    """A new account. Its processes have to end before it does."""
    mounted = _V2 if (_V2 / "cgroup.procs").exists() else _V1
    folder = mounted / f"voicefleet-{uuid.uuid4().hex[:8]}"
    folder.mkdir()

    def gone() -> bool:
        with contextlib.suppress(OSError):
            folder.rmdir()
        return not folder.exists()

    try:
        yield CpuAccount(folder, mounted)
    finally:
        assert await happens(gone, 10.0), "processes of the CPU account still run"
