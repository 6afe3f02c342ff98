"""Every test module says once, for all of its tests, what it needs: `pytestmark = pytest.mark.unit` (or integration,
cluster, browser). A module that says nothing, or two things, stops the run: a test that nobody selects is no test.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stalls import Stalls

from voicefleet.runtime.supervisor.children import leftover_pids

pytest_plugins = ["support.servers"]

CATEGORIES = ("unit", "integration", "browser", "cluster")
"""In the order they run: the quick ones say first what is wrong."""
SEVERAL_AT_A_TIME = ("cluster", "unit", "integration", "browser")
"""The order of several processes: the longest group, which one of them has for itself, begins first."""
MACHINE = ("test_netlab.py", "test_transports.py", "test_chaos.py", "test_soak.py", "test_stalls.py")
"""They change what the machine has once (bridges, the packet filter), or look at it: one after the other."""

_GONE_LIMIT_S = 5.0


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Stalls(frozenset(CATEGORIES) - {"unit"}))
    config.pluginmanager.register(Durations())


class Durations:
    """Says at the end how long each category took: its tests with their fixtures. `tests/security` has integration
    tests, and a line of its own."""

    def __init__(self) -> None:
        self.spent_s: dict[str, float] = {}
        self.tests: dict[str, set[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        security = "tests/security/" in report.nodeid
        name = "security" if security else ", ".join(name for name in CATEGORIES if name in report.keywords)
        self.spent_s[name] = self.spent_s.get(name, 0.0) + report.duration
        self.tests.setdefault(name, set()).add(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for name, spent_s in self.spent_s.items():
            minutes, seconds = divmod(round(spent_s), 60)
            terminalreporter.write_line(f"{name:<12} {len(self.tests[name]):>5} tests {minutes:>4} min {seconds:>2} s")


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left() -> Iterator[None]:
    """After the last test nothing that the session started may still run, at any depth. Here, and not in a folder's
    conftest: the first session fixture is the last that ends."""
    yield
    deadline = time.monotonic() + _GONE_LIMIT_S
    while (left := leftover_pids()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left, f"processes left behind by the tests: {sorted(left)}"


def categories_of(item: pytest.Item) -> set[str]:
    """The categories that a test carries, from its module, its class or itself."""
    return {mark.name for mark in item.iter_markers()} & set(CATEGORIES)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse modules whose tests do not all carry the same, single category; order the others by theirs."""
    by_module: dict[Path, list[set[str]]] = {}
    for item in items:
        by_module.setdefault(item.path, []).append(categories_of(item))
    wrong = []
    for path, found in by_module.items():
        if any(len(categories) != 1 for categories in found) or len(set.union(*found)) != 1:
            named = ", ".join(sorted(set.union(*found))) or "none"
            wrong.append(f"  {path} has: {named}")
    if wrong:
        wanted = " | ".join(sorted(CATEGORIES))
        raise pytest.UsageError(
            f"each test module needs exactly one `pytestmark = pytest.mark.<{wanted}>`:\n" + "\n".join(wrong)
        )
    order = SEVERAL_AT_A_TIME if hasattr(config, "workerinput") else CATEGORIES
    items.sort(key=lambda item: order.index(categories_of(item).pop()))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))


def group_of(item: pytest.Item) -> str:
    """Tests of one group run in one process, in order: a module's, those of the one cluster, those of the machine."""
    if categories_of(item) == {"cluster"}:
        return "cluster"
    return "machine" if item.path.name in MACHINE else f"{item.path.parent.name}/{item.path.name}"
