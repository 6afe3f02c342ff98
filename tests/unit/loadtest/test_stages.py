"""Where the time of answers went: the worker's stages joined with the caller's turns, and how they are read."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from support.outcomes import FAILED, GOOD, LOST, TURN, UNHEARD
from support.terminal import terminal, text_of
from support.virtual_time import LoopClock, run
from voicefleet.callers.health import GeneratorHealth
from voicefleet.callers.outcome import CallOutcome, call_from_json
from voicefleet.callers.stages import PARTS, parts_of, with_parts
from voicefleet.contract.call_events import CallState, CallSummary, CallTurn
from voicefleet.contract.errors import ConfigError, UnknownStateError, UnreachableError
from voicefleet.loadtest.command_loadtest import show
from voicefleet.loadtest.exports import turns_csv
from voicefleet.loadtest.figures import figures_of
from voicefleet.loadtest.page import render_result
from voicefleet.loadtest.result import build_result
from voicefleet.loadtest.stage_times import NO_CONTROLLER, CallReads, require_told, with_stage_times
from voicefleet.loadtest.thresholds import parse_condition

pytestmark = pytest.mark.unit

FINE = GeneratorHealth(lag_p99_s=0.02, lag_max_s=0.1, cpu_share=0.4)
STAGES = {"eou": 0.2, "stt": 0.05, "callback": 0.01, "llm_ttft": 0.08, "tts_ttfb": 0.04, "playback": 0.0}


def turn(at_s: float, ttfa_s: float | None = 0.4, stages: dict[str, float] = STAGES, epoch: int = 1) -> CallTurn:
    return CallTurn(at_s=at_s, epoch=epoch, outcome="completed", ttfa_s=ttfa_s, stages=stages)


def told(*turns: CallTurn) -> CallSummary:
    return CallSummary(call="RM", room="r", region="eu", state=CallState.SERVED, turns=list(turns))


def test_the_parts_of_an_answer_add_up_to_what_the_caller_waited() -> None:
    parts = parts_of(0.5, turn(6.0))
    assert parts is not None
    assert list(parts) == list(PARTS)
    assert sum(parts.values()) == pytest.approx(0.5)
    wanted = [0.1, 0.05, 0.15, 0.01, 0.08, 0.04, 0.07]
    assert list(parts.values()) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("stages", "wanted"),
    [
        # The LLM began before the turn was over: it has what was left of the time to the first audio.
        ({"eou": 0.3, "stt": 0.1, "llm_ttft": 0.3, "tts_ttfb": 0.2}, {"endpointing": 0.2, "llm": 0.1, "tts": 0.0}),
        # The transcript came after the turn was over.
        ({"eou": 0.1, "stt": 0.3, "llm_ttft": 0.1}, {"stt": 0.1, "endpointing": 0.0, "llm": 0.1, "playout": 0.2}),
        # A realtime model has no stages before its own first audio.
        ({"llm_ttft": 0.35}, {"stt": 0.0, "endpointing": 0.0, "llm": 0.35, "playout": 0.05}),
        ({}, {"playout": 0.4}),
    ],
)
def test_stages_that_overlap_or_are_missing(stages: dict[str, float], wanted: dict[str, float]) -> None:
    parts = parts_of(0.5, turn(6.0, stages=stages))
    assert parts is not None
    assert sum(parts.values()) == pytest.approx(0.5)
    assert {name: parts[name] for name in wanted} == pytest.approx(wanted)
    assert min(parts.values()) >= 0


def test_turns_are_joined_by_their_order_in_time() -> None:
    # GOOD's questions end at 4.0 and 9.0; a worker notes a turn once its answer was said.
    call = with_parts(GOOD, told(turn(2.0, ttfa_s=None), turn(6.1, 0.45), turn(11.5, 0.6)))
    assert [one.worker_ttfa_s for one in call.turns] == [0.45, 0.6]
    assert [one.parts["network"] if one.parts else None for one in call.turns] == pytest.approx([0.05, 0.1])


def test_a_turn_that_the_worker_did_not_note_takes_no_other_ones() -> None:
    call = with_parts(GOOD, told(turn(11.5, 0.6)))
    assert [one.worker_ttfa_s for one in call.turns] == [None, 0.6]
    # The caller paused in its question, which was two turns for the worker: the first had no voice.
    split = with_parts(GOOD, told(turn(3.5, ttfa_s=None), turn(6.1, 0.45), turn(11.0, ttfa_s=None)))
    assert [one.worker_ttfa_s for one in split.turns] == [0.45, None]
    assert with_parts(replace(GOOD, turns=(LOST,)), told(turn(6.1))).turns == (LOST,)


def with_reader(outcomes: list[CallOutcome], answers: Callable[[CallOutcome, int], Any]) -> Any:
    asked: list[str] = []
    at_once = [0, 0]

    async def read(outcome: CallOutcome) -> CallSummary | None:
        asked.append(outcome.call_id)
        at_once[0] += 1
        at_once[1] = max(at_once)
        await asyncio.sleep(0.1)
        at_once[0] -= 1
        answer = answers(outcome, asked.count(outcome.call_id))
        assert answer is None or isinstance(answer, CallSummary)
        return answer

    joined, reads = run(with_stage_times(outcomes, read, LoopClock()))
    return joined, reads, asked, at_once[1]


BOTH = told(turn(6.1, 0.45), turn(11.5, 0.6))


def test_calls_with_an_answer_are_read_a_few_at_once_and_the_last_turn_is_waited_for() -> None:
    calls = [replace(GOOD, call_id=f"c{number}") for number in range(30)]
    joined, reads, asked, most = with_reader(
        [*calls, FAILED, UNHEARD], lambda call, nth: told(turn(6.1, 0.45)) if call.call_id == "c0" and nth < 3 else BOTH
    )
    assert reads == CallReads(30, 30, 0, "")
    assert most == 8
    assert (asked.count("c0"), len(asked)) == (3, 32)
    assert all(one.parts for call in joined[:30] for one in call.turns)
    assert joined[30:] == (FAILED, UNHEARD)


def test_a_failed_read_is_unknown_and_a_call_that_is_not_there_is_not() -> None:
    def answers(call: CallOutcome, nth: int) -> CallSummary | None:
        if call.call_id == "gone":
            return None
        if call.call_id == "away" or nth == 1:
            raise UnknownStateError("the controller did not answer")
        return BOTH

    calls = [replace(GOOD, call_id=name) for name in ("gone", "away", "late")]
    joined, reads, asked, _ = with_reader(calls, answers)
    assert reads == CallReads(3, 1, 1, "the controller did not answer")
    assert asked.count("away") == 4
    assert joined[0].turns[0].parts is None


def test_a_key_that_may_not_read_is_asked_no_further() -> None:
    def refuse(call: CallOutcome, nth: int) -> CallSummary | None:
        raise UnreachableError("refused", field="GET /v1/calls/ROOM", value=403, hint="Give a key that may read.")

    calls = [replace(GOOD, call_id=f"c{number}") for number in range(50)]
    _, reads, asked, _ = with_reader(calls, refuse)
    assert (reads.read, reads.unknown, len(asked)) == (0, 50, 8)
    assert "may read" in reads.why


def test_a_controller_that_hangs_holds_the_result_up_for_a_while_alone() -> None:
    async def read(_: CallOutcome) -> CallSummary | None:
        await asyncio.sleep(1e6)
        return None

    async def reading() -> tuple[CallReads, float]:
        _, reads = await with_stage_times([GOOD], read, LoopClock())
        return reads, LoopClock().monotonic()

    reads, took_s = run(reading())
    assert (reads.read, reads.unknown) == (0, 1)
    assert "longer than 60 s" in reads.why
    assert took_s == pytest.approx(60)


def test_without_a_controller_nobody_tells() -> None:
    joined, reads = run(with_stage_times([GOOD], None, LoopClock()))
    assert joined == (GOOD,)
    result = build_result(joined, FINE, 1.0, reads=reads)
    assert result["stages"]["parts"] == {}
    console = terminal()
    show(result, console)
    assert f"where the time went is not known: {NO_CONTROLLER}" in text_of(console).replace("\n", " ")
    assert "Where the time went is not known" in render_result(result, "x")
    with pytest.raises(ConfigError, match="llm_p95 is not known"):
        require_told((parse_condition("llm_p95>1", field="--fail-if"),), None)
    require_told((parse_condition("ttfa_p95>1", field="--fail-if"),), None)


def test_terminal_page_csv_and_thresholds_tell_where_the_time_went() -> None:
    call = with_parts(GOOD, BOTH)
    assert call_from_json(call.to_json()) == call
    half = replace(GOOD, turns=(TURN,))
    result = build_result([call, half], FINE, 1.0, reads=CallReads(2, 2))
    stages = result["stages"]
    assert (stages["joined"], stages["turns"]) == (2, 3)
    assert stages["parts"]["network"]["p50"] == pytest.approx(0.075)
    assert sum(one["share"] for one in stages["parts"].values()) == pytest.approx(1.0)
    assert figures_of([call], 10.0)["llm_max"] == pytest.approx(0.08)
    console = terminal()
    show(result, console)
    text = text_of(console)
    assert "Where the time went, of 2 answers" in text
    assert "of 1 of 3 answers it is not known" in text
    page = render_result(result, "smoke")
    assert "<code>endpointing</code>" in page
    first, *_ = csv.DictReader(io.StringIO(turns_csv(result)))
    assert float(first["worker_ttfa_s"]) == 0.45
    assert float(first["network_s"]) == pytest.approx(0.05)
