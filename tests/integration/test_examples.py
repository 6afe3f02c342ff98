"""Three of the agents of `make examples` through all of it: `python -m examples --quick`, as a user runs it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from examples.catalogue import QUICK, TESTS

pytestmark = pytest.mark.integration

RUN_LIMIT_S = 280.0
TIMES = ("greeting_s", "moved_s", "moved_answer_s", "killed_answer_s", "freed_s")


async def test_unchanged_agents_greet_answer_move_come_back_and_end(tmp_path: Path) -> None:
    result, log = tmp_path / "result.json", tmp_path / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "examples", "--quick", "--json", str(result)),
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            stdout=output,
            stderr=output,
        )
        async with asyncio.timeout(RUN_LIMIT_S):
            code = await process.wait()
    assert code == 0, log.read_text()
    made = json.loads(result.read_text())
    assert made["passed"]
    assert [row["agent"] for row in made["agents"]] == list(QUICK)
    for row in made["agents"]:
        assert row["answers"] >= 4
        assert None not in [row[name] for name in TIMES]
