"""`voicefleet tune` on a real fleet: real calls decide, a kill in the middle loses nothing that was played."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.eventually import eventually

pytestmark = pytest.mark.integration

SYNTHETIC = "voicefleet.local.synthetic"
TASKS = """
tools: {book: [name, day, time, people]}
questions: {name: [what name]}
tasks:
"""
TASK = """
  - id: %s
    goal: book
    part: %s
    caller: {turns: [{say: A table please.}], answers: {name: Baker.}}
    checks: {calls: [{book: {name: miller}}]}
"""
BOOKED = {"name": "Miller", "day": "Friday", "time": "19:00", "people": 4}
SPACE = {
    "name": "two",
    "base": {
        "stt": {"plugin": f"{SYNTHETIC}:SyntheticSTT"},
        "tts": {"plugin": f"{SYNTHETIC}:SyntheticTTS"},
        "vad": {"min_silence_s": 0.3},
        "endpointing": {"min_delay_s": 0.3},
    },
    "axes": {
        "llm": {
            "asks": {"llm": {"plugin": f"{SYNTHETIC}:SyntheticLLM", "args": {"replies": ["What name is it?"]}}},
            "books": {"llm": {"plugin": f"{SYNTHETIC}:SyntheticLLM", "args": {"calls": {"book": BOOKED}}}},
        }
    },
}


def played(log: Path) -> list[tuple[str, str]]:
    """(setting, task) of every whole line of the log."""
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    plays = [json.loads(line).get("play") for line in lines]
    return [(play["config"], play["task"]) for play in plays if play]


async def begun(folder: Path, *more: str) -> asyncio.subprocess.Process:
    """The command, as a user types it."""
    return await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("voicefleet")),
        *("tune", "--space", str(folder / "space.yaml"), "--tasks", str(folder / "tasks.yaml"), "--budget", "4m"),
        *("--calls", "2", "--out", str(folder / "out"), "--json", str(folder / "out.json"), *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def test_real_calls_decide_and_a_kill_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    ids = (("one", "tuning"), ("two", "tuning"), ("three", "heldout"))
    (tmp_path / "tasks.yaml").write_text(TASKS + "".join(TASK % each for each in ids))
    log = tmp_path / "out" / "trials.jsonl"

    first = await begun(tmp_path)
    await eventually(lambda: len(played(log)) >= 2, 60.0)
    first.kill()
    await first.wait()
    before = played(log)

    second = await begun(tmp_path)
    out, _ = await asyncio.wait_for(second.communicate(), 120.0)
    said = out.decode()
    # 1: no setting keeps a p95 of 0.8 s here, or 0: one does. Which one it is depends on the machine.
    assert second.returncode in (0, 1), said
    assert f"goes on with {log}: {len(before)} calls" in said.replace("\n", "")
    every = played(log)
    assert every[: len(before)] == before
    assert len(every) == len(set(every)) == 6

    document: dict[str, Any] = json.loads((tmp_path / "out.json").read_text())
    by_name = {row["name"]: row for row in document["configs"]}
    assert {name: row["success"] for name, row in by_name.items()} == {"books": 1.0, "asks": 0.0}
    assert all(0.2 < row["ttfa_p50_s"] < 5.0 for row in by_name.values())
    assert all(row["cpu_s_per_call_min"] > 0 for row in by_name.values())
    assert document["heldout"]["tasks"] == 1
    assert document["heldout"]["default"]["name"] == "livekit-defaults"
    assert {"vad", "v1-mini"} <= {row["detector"] for row in document["endpointing"]}
    assert all(0.0 <= row["cut_in_at_300ms"] <= 1.0 for row in document["endpointing"])
    assert document["simulated_stages"] == ["llm: SyntheticLLM", "stt: SyntheticSTT", "tts: SyntheticTTS"]
    assert document["sweep"]["spent_s"] <= document["sweep"]["budget_s"]

    tiers = yaml.safe_load((tmp_path / "out" / "tiers.yaml").read_text())
    assert tiers["default"] == document["chosen"] in tiers["tiers"]
    assert "SIMULATED" in (tmp_path / "out" / "tiers.yaml").read_text()
    values = yaml.safe_load((tmp_path / "out" / "values.yaml").read_text())
    assert values["worker"]["tiers"]["content"] == tiers
    page = (tmp_path / "out" / "report.html").read_text()
    assert "data:audio/wav" in page
    assert "v1-mini" in page


async def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    (tmp_path / "tasks.yaml").write_text(TASKS + TASK % ("one", "tuning") + TASK % ("three", "heldout"))
    tune = await begun(tmp_path, "--no-report")
    assert tune.stdout is not None
    async with asyncio.timeout(60.0):
        while b"round 1" not in await tune.stdout.readline():
            pass
    tune.send_signal(signal.SIGINT)
    out, _ = await asyncio.wait_for(tune.communicate(), 30.0)
    assert tune.returncode == 130
    assert "the same command goes on from" in out.decode().replace("\n", " ")
