"""What a load test shows while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from support.outcomes import CUT, GOOD, SILENT
from support.terminal import rendered, terminal, text_of
from support.virtual_time import LoopClock, run
from voicefleet.callers.health import GeneratorHealth
from voicefleet.callers.outcome import CallOutcome
from voicefleet.loadtest.figures import Figures, figures_of
from voicefleet.loadtest.progress import Progress, showing
from voicefleet.loadtest.thresholds import parse_condition

pytestmark = pytest.mark.unit

FINE = GeneratorHealth(lag_p99_s=0.02, lag_max_s=0.1, cpu_share=0.4, pacing_p99_s=0.001)


class HandClock(LoopClock):
    now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


def progress(*conditions: str, until: str = "") -> tuple[Progress, HandClock]:
    clock = HandClock()
    found = tuple(parse_condition(text, field="x") for text in conditions)
    wanted = parse_condition(until, field="x") if until else None
    offsets = [2.0 * i for i in range(40)]
    return Progress(offsets, clock, "smoke.yaml", fail_if=found, until=wanted), clock


def begin(shown: Progress, clock: HandClock, calls: int) -> None:
    for number in range(calls):
        clock.now_s = 100.0 + 2.0 * number
        shown.on_event(f"call-{number:05d}", "due", 0.0, {"lag_s": 0.0})
        shown.on_event(f"call-{number:05d}", "joined", 0.0, {})


def test_the_picture_tells_calls_arrivals_answers_health_and_thresholds() -> None:
    shown, clock = progress("ttfa_p95>1.0", "calls_failed_ratio>2%", "stop_p95>1")
    begin(shown, clock, 6)
    shown.on_event("call-00000", "agent_joined", 0.2, {})
    for ttfa_s in (0.5, 0.7, None):
        shown.on_event("call-00000", "reply", 4.0, {"ttfa_s": ttfa_s})
    shown.finished(GOOD)
    shown.finished(SILENT)
    shown.health = FINE
    text = rendered(shown.render())
    for said in (
        "smoke.yaml",
        "0:10; the last call comes at 1:18",
        "6 of 40 placed, 4 in progress (4 without an agent)",
        "0.5 a second, 0.5 planned",
        "2: 1 answered, 1 silent",
        "p50 0.60 s, p95 0.69 s (answers: 2)",
        "on time: late by 0.020 s, frames by 0.001 s (p99),",
        "broken, 50.0% so far",
    ):
        assert said in text, (said, text)
    by_name = {line.split()[1]: line for line in text.splitlines() if ">" in line}
    assert "broken, 60" not in by_name["ttfa_p95>1.0"]
    assert "not known yet" in by_name["stop_p95>1"]


def test_before_anything_has_happened_nothing_is_claimed() -> None:
    shown, _ = progress("ttfa_p95>1.0", "calls_failed>0")
    text = rendered(shown.render())
    assert text.count("not known yet") == 2
    assert "p50 –, p95 – (answers: 0)" in text
    assert "holds" not in text


def test_a_search_shows_what_must_stay_true() -> None:
    shown, _ = progress(until="ttfa_p95<1.0")
    shown.finished(GOOD)
    assert "holds, 0.69 s so far" in rendered(shown.render())
    slow = replace(GOOD, turns=tuple(replace(turn, ttfa_s=1.5) for turn in GOOD.turns))
    shown.finished(slow)
    assert "broken, 1.50 s so far" in rendered(shown.render())


def test_a_late_generator_is_told_at_once() -> None:
    shown, _ = progress()
    shown.health = replace(FINE, lag_p99_s=0.4)
    assert "too late" in rendered(shown.render())
    assert "GENERATOR TOO LATE" in shown.line()


def test_the_figures_are_not_made_anew_with_each_of_thousands_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(calls: Sequence[CallOutcome], timeout_s: float) -> Figures:
        made.append(len(calls))
        return figures_of(calls, timeout_s)

    monkeypatch.setattr("voicefleet.loadtest.progress.figures_of", counted)
    shown, _ = progress("ttfa_p95>1.0")
    for _ in range(2000):
        shown.finished(CUT)
        shown.line()
    assert 50 < len(made) < 400
    assert "ttfa_p95>1.0: holds (0.70 s)" in shown.line()


def test_where_the_output_is_no_terminal_a_line_comes_every_ten_seconds() -> None:
    async def scenario() -> str:
        clock, console = LoopClock(), terminal()
        shown = Progress([0.0, 5.0], clock)

        async def health() -> GeneratorHealth:
            return FINE

        async with showing(shown, console, clock, health):
            shown.on_event("call-00000", "due", 0.0, {"lag_s": 0.0})
            await asyncio.sleep(35)
        await asyncio.sleep(30)
        return text_of(console)

    lines = run(scenario()).splitlines()
    assert [line.split()[0] for line in lines] == ["0:10", "0:20", "0:30"]
    assert "calls: 1 of 2 placed, 0 in progress; finished: 0; TTFA p50 –, p95 – (answers: 0)" in lines[0]
