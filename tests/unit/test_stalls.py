"""Which tests run again, and that the machine has to have stood still for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from stalls import Stalls

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.unit

TESTS = """
import pathlib, time, pytest
pytestmark = [pytest.mark.{category}]
runs = []

@pytest.fixture
def server():
    runs.append(1)
    yield
    pathlib.Path("runs").write_text(str(len(runs)))

def test_it(server):
    with open({path!r}, "a") as out:
        print({rows}, file=out)
    assert len(runs) > {failures}
"""
STALL = "time.monotonic(), 0.7"
LONG_AGO = "0.0, 9.0"


class Told(Stalls):
    """Stalls that the test itself tells of."""

    def __init__(self, path: Path) -> None:
        super().__init__(frozenset({"integration"}))
        self.told = path

    def pytest_sessionstart(self) -> None:
        self.told.touch()

    @property
    def path(self) -> Path:
        return self.told


@pytest.mark.parametrize(
    ("category", "rows", "failures", "runs", "passes"),
    [
        ("integration", STALL, 0, 1, True),
        ("integration", STALL, 1, 2, True),
        ("integration", STALL, 2, 2, False),
        ("integration", LONG_AGO, 1, 1, False),
        ("unit", STALL, 1, 1, False),
    ],
    ids=["passes", "fails once", "fails always", "no stall meanwhile", "no servers"],
)
def test_what_runs_again(
    pytester: pytest.Pytester, category: str, rows: str, failures: int, runs: int, passes: bool
) -> None:
    path = pytester.path / "stalls"
    pytester.makepyfile(TESTS.format(category=category, path=str(path), rows=rows, failures=failures))
    result = pytester.inline_run("-p", "no:cacheprovider", "-p", "no:asyncio", plugins=[Told(path)])
    passed, _, failed = result.listoutcomes()
    assert (len(passed), len(failed)) == (int(passes), int(not passes))
    assert (pytester.path / "runs").read_text() == str(runs)
