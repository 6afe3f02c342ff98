"""`voicefleet dev` as a team runs it: a call, a change of the code in the middle, a change that does not load."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from examples.catalogue import FOLDER
from support.eventually import eventually

pytestmark = pytest.mark.integration

READY_LIMIT_S = 60.0


async def started(log: Path, *arguments: str) -> asyncio.subprocess.Process:
    with log.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "voicefleet.cli.app", "dev", *arguments),
            env={**os.environ, "COLUMNS": "400"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


async def test_a_call_from_the_terminal(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = await started(log, "--agent", str(FOLDER / "plain.py"), "--call", "--turns", "1")
    async with asyncio.timeout(90.0):
        code = await process.wait()
    text = log.read_text()
    assert code == 0, text
    assert "greeting after" in text
    assert text.count("answer, TTFA") == 1
    assert "good call" in text


async def test_a_changed_agent_takes_over_and_a_broken_one_does_not(tmp_path: Path) -> None:
    agent, log = tmp_path / "agent.py", tmp_path / "log"
    shutil.copy(FOLDER / "plain.py", agent)
    process = await started(log, "--agent", str(agent))

    async def says(words: str) -> None:
        await eventually(lambda: words in log.read_text(), READY_LIMIT_S)

    try:
        await says("watching")
        agent.write_text(agent.read_text() + "\nraise ValueError('half a change')\n")
        await says("the worker keeps the code that it has")
        shutil.copy(FOLDER / "plain.py", agent)
        await says("dev-2 is ready with the new code")
    finally:
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30.0):
            code = await process.wait()
    assert code == 130, log.read_text()
    assert "half a change" in log.read_text()
