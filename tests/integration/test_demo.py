"""The demo as its users start it: a good run, Ctrl-C, and a Redis that hangs in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from voicefleet.runtime.supervisor.guard import TAG_VARIABLE, tagged_pids
from voicefleet.runtime.supervisor.ports import is_free

pytestmark = pytest.mark.integration

RUN_LIMIT_S = 200.0
START_LIMIT_S = 90.0
OUTAGE_S = 8.0
QUANTILES = {"p50", "p95", "max"}
T = TypeVar("T")


@dataclass
class Demo:
    """A demo in a process of its own; `mark` is in the environment of all it starts."""

    process: asyncio.subprocess.Process
    mark: str
    directory: Path

    def pids(self) -> set[int]:
        return tagged_pids(self.mark)

    def pid_of(self, program: str) -> int | None:
        """The process whose command line names `program`."""
        for pid in self.pids():
            with contextlib.suppress(OSError):
                if program in Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "):
                    return pid
        return None

    def config(self) -> Path | None:
        """The controller's file, from its command line."""
        pid = self.pid_of("app controller --config")
        if pid is None:
            return None
        arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        return Path(arguments[arguments.index("--config") + 1])

    def call_seen(self) -> bool | None:
        """Whether a caller has come: LiveKit's log tells of one."""
        config = self.config()
        logs = (config.parent / "logs").glob("livekit-server-*.log") if config else ()
        return any("participant active" in log.read_text(errors="replace") for log in logs) or None

    def ports(self) -> set[int]:
        """TCP ports that its processes listen on."""
        inodes = set()
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for link in Path(f"/proc/{pid}/fd").iterdir():
                    with contextlib.suppress(OSError):
                        inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and row[9] in inodes}

    async def until(self, look: Callable[[], T | None], limit_s: float = START_LIMIT_S) -> T:
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if self.process.returncode is not None:
                break
            if found := await asyncio.to_thread(look):
                return found
            await asyncio.sleep(0.1)
        pytest.fail(f"not seen within {limit_s} s, exit code {self.process.returncode}")

    async def end(self, limit_s: float = RUN_LIMIT_S) -> tuple[int | None, str]:
        out, err = await asyncio.wait_for(self.process.communicate(), limit_s)
        return self.process.returncode, out.decode() + err.decode()


@contextlib.asynccontextmanager
async def demo(directory: Path, *arguments: str) -> AsyncIterator[Demo]:
    mark = f"demo-{os.urandom(6).hex()}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "voicefleet.cli.app", "demo", "--pipeline", "synthetic", *arguments),
        cwd=directory,
        env={**os.environ, TAG_VARIABLE: mark},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Demo(process, mark, directory)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    # The guard sweeps after a kill; in an orderly end there is nothing to wait for.
    deadline = time.monotonic() + 10
    while tagged_pids(mark) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    assert tagged_pids(mark) == set(), "processes are left behind"


async def test_a_run_is_good_and_leaves_its_result_and_its_report(tmp_path: Path) -> None:
    async with demo(tmp_path, "--calls", "4", "--rate", "0.5", "--json", "result.json") as d:
        code, text = await d.end()
        assert d.pids() == set()
    assert code == 0, text
    assert "Traceback" not in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo-report.html", "result.json"]

    result = json.loads((tmp_path / "result.json").read_text())
    assert set(result) == {
        "calls",
        "turns",
        "join_s",
        "ttfa_s",
        "greeting_s",
        "wait_s",
        "pickup_s",
        "regions",
        "pipeline",
        "wall_s",
    }
    assert result["calls"] == {"offered": 4, "answered": 4, "silent": 0, "cut": 0}
    assert result["turns"] == {"asked": 8, "answered": 8, "apologies": 0}
    for name in ("join_s", "ttfa_s", "greeting_s", "wait_s", "pickup_s"):
        assert set(result[name]) == QUANTILES
        assert 0 <= result[name]["p50"] <= result[name]["p95"] <= result[name]["max"] < 10
    assert set(result["regions"]) == {"eu", "us"}
    for region in result["regions"].values():
        assert set(region) == {"workers_start", "workers_peak", "workers_end", "slots_per_worker"}
        assert 1 <= region["workers_start"] <= region["workers_peak"]
        assert region["slots_per_worker"] >= 1
    assert result["pipeline"] == "synthetic"
    assert 0 < result["wall_s"] < RUN_LIMIT_S

    page = (tmp_path / "demo-report.html").read_text()
    assert "Every caller was answered, no call was cut" in page
    assert page.count("<svg") == 3
    assert not re.search(r"""(src|href)=["']?https?:""", page)


async def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    async with demo(tmp_path, "--calls", "4") as d:
        await d.until(d.call_seen)
        ports = d.ports()
        assert len(ports) >= 4, "redis, two livekit-servers and the controller listen"
        d.process.send_signal(signal.SIGINT)
        code, text = await d.end(60)
        assert d.pids() == set(), "what was started has ended before the demo does"
    assert code == 130, text
    assert "Traceback" not in text
    assert all(is_free(port, "tcp") for port in ports)
    assert list(tmp_path.iterdir()) == [], "an interrupted run has no result"


async def test_a_redis_that_hangs_costs_no_call(tmp_path: Path) -> None:
    async with demo(tmp_path, "--calls", "4", "--rate", "0.5", "--no-report", "--json", "result.json") as d:
        await d.until(d.call_seen)
        pid = d.pid_of("redis-server")
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(OUTAGE_S)
        finally:
            os.kill(pid, signal.SIGCONT)
        code, text = await d.end()
    assert code == 0, text
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["calls"] == {"offered": 4, "answered": 4, "silent": 0, "cut": 0}
    assert "Traceback" not in text
