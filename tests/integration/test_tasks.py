"""Tasks played on a real fleet: what the agent did reaches the record, and is judged."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.stack.fleet import PoolShape, WorkerOptions, running_fleet
from voicefleet.tasks.load import read_tasks
from voicefleet.tasks.meter import WorkerMeter, taken_below
from voicefleet.tasks.play import SESSION_HOST
from voicefleet.tasks.record import TaskRecord
from voicefleet.tasks.run import Planned, by_controller, play_tasks

pytestmark = pytest.mark.integration

SYNTHETIC = "voicefleet.local.synthetic"
BOOKED = {"name": "Miller", "day": "Friday", "time": "19:00", "people": 4}
TIERS = f"""
pipeline: synthetic
default: books
tiers:
  books:
    stt: {{plugin: "{SYNTHETIC}:SyntheticSTT"}}
    llm: {{plugin: "{SYNTHETIC}:SyntheticLLM", args: {{calls: {{book: {BOOKED}}}, replies: ["What name is it?"]}}}}
    tts: {{plugin: "{SYNTHETIC}:SyntheticTTS"}}
    session_host: ["{SESSION_HOST}"]
"""


async def test_what_the_agent_did_is_in_the_record_and_judged(tmp_path: Path) -> None:
    found = read_tasks()
    tiers = tmp_path / "tiers.yaml"
    tiers.write_text(TIERS)
    shape = PoolShape(slots=2, min_workers=1, max_workers=1, buffer=0, scale_down_delay_s=60.0)
    workers = WorkerOptions(str(tiers), agent="voicefleet.tasks.agent:desk")
    records: dict[str, TaskRecord] = {}
    async with running_fleet(("eu",), shape, tmp_path, workers=workers) as fleet:
        pid = fleet.controller.proc.pid
        async with ControllerClient(fleet.api_url) as client, WorkerMeter(lambda: taken_below(pid)) as meter:
            planned = [Planned(task) for task in found.chosen(("book-01", "cancel-01"))]
            playing = play_tasks(
                found,
                planned,
                by_controller(client, region="eu"),
                config="books",
                at_once=2,
                recordings=tmp_path / "recordings",
                meter=meter,
            )
            async with contextlib.aclosing(playing):
                async for record in playing:
                    records[record.task] = record
    good, bad = records["book-01"], records["cancel-01"]
    assert (good.error, bad.error) == (None, None)
    assert good.success, good.checks
    assert [slot.right for slot in good.slots] == [True] * 4
    assert [tool.name for tool in good.tools] == ["book"]
    assert good.caller[0].from_s < good.caller[0].to_s < good.tools[0].at_s + 1.0
    assert good.said[0].text.startswith("Blue Door")
    assert good.understood
    assert good.worker_cpu_s is not None
    assert good.worker_cpu_s > 0
    assert Path(good.recording).stat().st_size > 64_000
    # Asked for its name, the caller of the other said it.
    assert not bad.success
    assert next(c.why for c in bad.checks) == "cancel was never called"
    assert any("Baker" in speech.text for speech in bad.caller)
    assert TaskRecord.from_json(good.to_json()) == good
