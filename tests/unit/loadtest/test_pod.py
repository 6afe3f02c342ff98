"""The pod's side of a load test on Kubernetes, in made-up time: it waits, tells, and hangs up when it must."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.outcomes import GOOD
from support.virtual_time import LoopClock, now_s, run
from voicefleet.callers.health import GeneratorHealth
from voicefleet.loadtest.arrivals import Arrivals
from voicefleet.loadtest.pods import pod
from voicefleet.loadtest.pods.gate import ALONE_AFTER_S, Told
from voicefleet.loadtest.pods.lines import Teller
from voicefleet.loadtest.pods.plan import plan_of
from voicefleet.loadtest.pods.record import PodRecord
from voicefleet.loadtest.run import LoadRun, PartOfRun
from voicefleet.loadtest.scenario import Scenario

pytestmark = pytest.mark.unit

FINE = GeneratorHealth(lag_p99_s=0.02, lag_max_s=0.1, cpu_share=0.4)
SCENARIO = Scenario(arrivals=Arrivals(rate=1, calls=5))
WALL = datetime(2026, 1, 1, tzinfo=UTC)


class WallClock(LoopClock):
    def wall(self) -> datetime:
        return WALL + timedelta(seconds=now_s())


class Played:
    """A pod whose calls end when they are due, behind a gate file."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gate = folder / "told"
        self.began_s: float | None = None
        self.hung_up = False
        self.record = PodRecord(1, 2, 0.0)
        self.late_s = 0.0
        monkeypatch.setattr(pod, "run_scenario", self._run_scenario)
        monkeypatch.setattr(pod, "open_target", self._open_target)

    def play(self, meanwhile: Callable[[], Any]) -> int:
        async def both() -> int:
            plan = plan_of(SCENARIO, [0.0, 2.0, 4.0, 6.0], 2, "python")
            teller = Teller(lambda line: self.record.take(line, now_s(), now_s()), lambda: now_s())
            player = pod.Pod(plan, 1, self.gate, teller, WallClock())
            beside = asyncio.create_task(meanwhile())
            try:
                return await player.play(None)
            finally:
                beside.cancel()

        return run(both())

    def tell(self, beat: int, start_s: float | None = None) -> None:
        """Write the gate's file; `start_s`: on the loop's clock."""
        start_at = None if start_s is None else WALL.timestamp() + start_s
        self.gate.write_text(Told(beat, start_at).to_json())

    @contextlib.asynccontextmanager
    async def _open_target(self, _target: Any) -> AsyncIterator[Any]:
        yield SimpleNamespace(read_call=None)

    async def _run_scenario(self, _scenario: Any, offsets_s: Any, *_: Any, part: PartOfRun, **__: Any) -> LoadRun:
        await asyncio.sleep(2.0)
        start_s = await part.start()
        self.began_s = now_s()
        try:
            for number, offset_s in zip(part.numbers, offsets_s, strict=True):
                await asyncio.sleep(max(0.0, start_s + offset_s - now_s()))
                part.on_event(f"call-{number}", "due", 0.0, {})
                part.on_outcome(replace(GOOD, call_id=f"call-{number}", t_start_s=offset_s))
        except asyncio.CancelledError:
            self.hung_up = True
            raise
        return LoadRun((), FINE, now_s() - start_s, {"name": "python", "packets": None})


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(tmp_path, monkeypatch)


async def nothing() -> None:
    pass


def test_it_prepares_waits_for_the_start_and_tells_of_its_share(played: Played) -> None:
    async def starter() -> None:
        played.tell(1)
        await asyncio.sleep(30.0)
        assert played.record.ready
        played.tell(2, start_s=35.0)

    assert played.play(starter) == 0
    assert played.began_s == pytest.approx(35.0 - 0.25, abs=0.01)
    part = played.record.part()
    assert (part.missing, [call.call_id for call in part.outcomes]) == ("", ["call-1", "call-3"])
    assert part.facts["began_late_s"] == 0.0


def test_a_start_that_is_told_late_is_told_so(played: Played) -> None:
    async def starter() -> None:
        await asyncio.sleep(30.0)
        played.tell(1, start_s=25.0)

    assert played.play(starter) == 0
    assert "it began 5." in played.record.part().missing


def test_nobody_who_starts_it_is_an_end(played: Played) -> None:
    assert played.play(nothing) == 1
    assert "its starter was gone for 120 s" in played.record.part().missing
    assert played.began_s is None


def test_a_starter_that_was_killed_leaves_no_caller_behind(played: Played) -> None:
    async def starter() -> None:
        played.tell(1, start_s=ALONE_AFTER_S - 3.0)

    assert played.play(starter) == 1
    assert played.hung_up
    assert "hung up; 1 of its 2 calls" in played.record.part().missing, "the first call was over before"


def test_told_to_stop_its_callers_hang_up_and_what_is_over_counts(played: Played) -> None:
    async def starter() -> None:
        played.tell(1, start_s=5.0)
        await asyncio.sleep(8.0)
        signal.raise_signal(signal.SIGTERM)

    assert played.play(starter) == 1
    assert played.hung_up
    assert "it was told to stop, and its callers hung up; 1 of its 2 calls" in played.record.part().missing


def test_a_plan_that_is_none_is_refused_in_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pod.play_share(tmp_path / "none", tmp_path / "told", 0, None) == 2
    plan = tmp_path / "plan.json"
    plan.write_text(plan_of(SCENARIO, [0.0], 1, "python").to_json())
    assert pod.play_share(plan, tmp_path / "told", 1, None) == 2
    record = PodRecord(0, 1, 0.0)
    record.take(capsys.readouterr().out.splitlines()[1], 0.0, 0.0)
    assert "--index = '1': no such share" in str(record.refused)
