"""A test with servers that fails while the machine stands still says nothing: it runs once more, and this is told.

Whether the machine stood still is not the tests' word: a process of its own, which does nothing but sleep, was woken
late. On a machine that did not stand still a failure is a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

STALL_S = 0.5
"""A sleeper that is woken so late did not wait for a test's own work: the scheduler lets sleepers go first."""

_SLEEPER = """
import os, sys, time
path, parent, late_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
with open(path, "a", buffering=1) as out:
    while os.getppid() == parent:
        due_s = time.monotonic() + 0.02
        time.sleep(0.02)
        now_s = time.monotonic()
        if now_s - due_s > late_s:
            print(now_s, now_s - due_s, file=out)
"""


@dataclass(eq=False)  # a plugin is a member of sets
class Stalls:
    """The plugin. Tests of `categories` may run again."""

    categories: frozenset[str]
    directory: Any = None
    sleeper: Any = None
    again: dict[str, float] = field(default_factory=dict)
    """Test that ran once more -> longest stall during its first run, in seconds."""

    def pytest_sessionstart(self) -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="voicefleet-stalls-")
        self.path.touch()
        told = [str(self.path), str(os.getpid()), str(STALL_S)]
        self.sleeper = subprocess.Popen([sys.executable, "-S", "-c", _SLEEPER, *told])

    @property
    def path(self) -> Path:
        return Path(self.directory.name) / "stalls"

    def found(self, since_s: float = 0.0) -> list[float]:
        """How long the machine stood still, each time since `since_s` (monotonic)."""
        rows = [line.split() for line in self.path.read_text().splitlines()]
        return [float(late_s) for at_s, late_s in rows if float(at_s) >= since_s]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        marked = {mark.name for mark in item.iter_markers()}
        if not marked & self.categories or item.nodeid in self.again:
            return None
        began_s = time.monotonic()
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        stalls = self.found(began_s) if any(report.failed for report in reports) else []
        if not stalls:
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        if stalls:
            self.again[item.nodeid] = max(stalls)
            # By the hook, so that it has its whole time once more.
            item.ihook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        return True

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        stalls = self.found()
        if stalls:
            terminalreporter.section("stalls")
            terminalreporter.line(f"the machine stood still {len(stalls)} times, {max(stalls):.1f} s the longest")
        for test, stall_s in self.again.items():
            terminalreporter.line(f"ran again, for it failed while the machine stood still for {stall_s:.1f} s: {test}")

    def pytest_unconfigure(self) -> None:
        if self.sleeper is not None:
            self.sleeper.kill()
            self.sleeper.wait()
            self.directory.cleanup()
