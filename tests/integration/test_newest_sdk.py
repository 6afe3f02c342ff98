"""What the fleet takes from livekit-agents' private parts is there in the newest 1.x too, not in the pinned one alone.

All of it goes through `worker/job/sdk.py` and `worker/job/attachment.py`: the worker's unit tests and a team's own file
on a real server meet it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.newest_sdk import imported, installed, newest, pinned, run_tests
from voicefleet.runtime.supervisor.settings import environment

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

MEETS_THE_SDK = ("tests/unit/worker", "tests/integration/test_targets.py")


def test_the_worker_runs_on_the_newest_livekit_agents(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        there = newest()
    except (subprocess.SubprocessError, OSError) as error:
        if environment().get("CI"):
            raise
        pytest.skip(f"the package registry does not answer ({type(error).__name__}): the newest version is not known")
    same = there == pinned()
    with capsys.disabled():
        print(f"\nlivekit-agents: the newest 1.x is {there}, {'the pinned one' if same else f'pinned is {pinned()}'}")
    if same:
        return  # Every other test is this test.
    folder = installed(there)
    assert imported(folder) == there
    result = run_tests(folder, *MEETS_THE_SDK)
    assert result.returncode == 0, f"livekit-agents {there}:\n{result.stdout[-6000:]}\n{result.stderr[-2000:]}"


def test_packages_beside_the_environment_go_before_its_own(tmp_path: Path) -> None:
    agents = tmp_path / "livekit" / "agents"
    agents.mkdir(parents=True)
    (agents / "__init__.py").write_text('__version__ = "1.99.0"\n')
    assert imported(tmp_path) == "1.99.0"
