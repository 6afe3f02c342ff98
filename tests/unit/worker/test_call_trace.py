"""The spans of a call: who is whose child, and how the stages lie."""

from __future__ import annotations

import pytest

from voicefleet.contract.spans import SpanRecord, TraceContext
from voicefleet.worker.telemetry.call_trace import CallTrace

pytestmark = pytest.mark.unit

PARENT = TraceContext("a" * 32, "b" * 16)
ASKED = {
    "stopped_speaking_at": 100.0,
    "end_of_turn_delay": 0.3,
    "transcription_delay": 0.1,
    "on_user_turn_completed_delay": 0.0,
}
ANSWERED = {
    "started_speaking_at": 100.6,
    "stopped_speaking_at": 103.0,
    "e2e_latency": 0.6,
    "llm_node_ttft": 0.2,
    "tts_node_ttfb": 0.05,
}


def made(*, on: bool = True, parent: TraceContext | None = PARENT) -> tuple[CallTrace, list[SpanRecord]]:
    spans: list[SpanRecord] = []
    return CallTrace(spans.append, on=on, parent=parent, began_s=90.0, common={"voicefleet.tier": "a"}), spans


def test_a_turn_and_its_stages() -> None:
    trace, spans = made()
    trace.turn(ASKED, ANSWERED, providers={"chat": "openai"}, outcome="completed")
    by_name = {span.name: span for span in spans}
    turn = by_name.pop("turn")
    assert trace.context is not None
    assert turn.parent == trace.context.span
    assert (turn.start_ns, turn.end_ns) == (100_000_000_000, 103_000_000_000)
    assert turn.attributes["voicefleet.turn.ttfa_s"] == 0.6
    assert {span.parent for span in by_name.values()} == {turn.context.span}
    assert by_name["chat"].attributes["gen_ai.provider.name"] == "openai"
    for span in by_name.values():
        assert turn.start_ns <= span.start_ns <= span.end_ns <= by_name["first_audio"].end_ns
    assert by_name["first_audio"].end_ns == 100_600_000_000


def test_stages_that_were_begun_early_do_not_run_backwards() -> None:
    trace, spans = made()
    trace.turn(ASKED, {**ANSWERED, "started_speaking_at": 100.2}, providers={}, outcome="interrupted")
    assert all(span.end_ns >= span.start_ns for span in spans)


def test_the_call_is_a_child_of_what_led_to_it() -> None:
    trace, spans = made()
    trace.ended(120.0, "completed")
    assert (spans[0].name, spans[0].parent, spans[0].context.trace) == ("invoke_agent", PARENT.span, PARENT.trace)
    assert spans[0].error == ""
    assert trace.exemplar == PARENT.trace


def test_a_call_taken_away_is_an_error() -> None:
    trace, spans = made(parent=None)
    trace.ended(120.0, "taken_over")
    assert spans[0].error == "taken_over"
    assert spans[0].parent == ""


def test_off_means_off() -> None:
    trace, spans = made(on=False)
    trace.joined(91.0)
    trace.greeted(92.0)
    trace.turn(ASKED, ANSWERED, providers={}, outcome="completed")
    trace.ended(99.0, "completed")
    assert (spans, trace.exemplar) == ([], "")
    assert trace.header == PARENT.header, "the next job goes on where this one did"
    assert trace.context.trace == PARENT.trace, "log lines have it all the same"


def test_what_the_front_end_does_not_sample_has_no_exemplar() -> None:
    trace, _ = made(parent=TraceContext("a" * 32, "b" * 16, sampled=False))
    assert trace.exemplar == ""
    assert trace.header.endswith("-00")
