"""A short soak as its users start it: a real fleet, two faults, and counts that add up."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from voicefleet.runtime.supervisor.guard import TAG_VARIABLE

pytestmark = pytest.mark.integration

RUN_LIMIT_S = 240.0


async def test_the_counts_of_a_short_soak_add_up(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "voicefleet.cli.app", "soak", "--quick", "--seed", "2", "--json", "out.json"),
        cwd=tmp_path,
        env={**os.environ, TAG_VARIABLE: f"soak-{os.urandom(6).hex()}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), RUN_LIMIT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    text = out.decode()
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["complete"], text
    claims, calls, turns = result["claims"], result["calls"], result["turns"]
    assert claims["opened"] == sum(count for how, count in claims.items() if how != "opened"), text
    assert claims["held"] == 0, text
    # At least one for two callers: a page that reloads counts as two, and has the same job.
    served = calls["placed"] - calls["failed"] - calls["never_ended"] - calls["silent"]
    assert claims["opened"] >= served / 2, text
    assert calls["placed"] == sum(count for how, count in calls.items() if how != "placed") > 0, text
    assert turns["asked"] == sum(count for how, count in turns.items() if how != "asked"), text
    assert (calls["silent"], calls["cut"], calls["never_ended"], result["double_speech"]) == (0, 0, 0, 0), text
    assert (process.returncode == 0) is result["passed"], text
    assert "Traceback" not in text
