"""`voicefleet calls` and `voicefleet call show`: what they print fits 80 columns, and trouble stands out."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from voicefleet.client.calls import listed, picture
from voicefleet.contract.api import CallView
from voicefleet.contract.call_events import AgentPart, CallState, CallSummary, CallTurn, Silence, TimelineEntry

pytestmark = pytest.mark.unit

CALL = CallSummary(
    call="RM_1",
    room="call-0123456789abcdef",
    region="eu",
    state=CallState.ENDED,
    reason="caller_left",
    started_at="2026-11-28T20:00:00.000Z",
    duration_s=63.2,
    waited_s=0.4,
    tier="fast",
    language="de",
    trace_id="0af7651916cd43dd8448eb211c80319c",
    dead_air=[Silence(from_s=30.1, until_s=34.6, lasted_s=4.5, why="its agent was lost", hint="Look at its log.")],
    agents=[AgentPart(worker="w1", epoch=1, how="answered", from_s=0.4)],
    turns=[CallTurn(at_s=5, epoch=1, outcome="completed", ttfa_s=0.61), CallTurn(at_s=9, epoch=1, outcome="error")],
    timeline=[
        TimelineEntry(at_s=0.0, what="started"),
        TimelineEntry(at_s=5.0, what="turn", detail="completed, TTFA 610 ms, " + "eou 250 stt 246 llm_ttft 52 " * 4),
        TimelineEntry(at_s=30.1, what="lost"),
    ],
)


def shown(what: RenderableType) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=80).print(what)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_call_is_a_head_and_its_timeline() -> None:
    lines = shown(picture(CALL))
    assert lines[:4] == [
        "call-0123456789abcdef in eu: ended (caller_left)",
        "call RM_1, trace 0af7651916cd43dd8448eb211c80319c",
        "started 2026-11-28T20:00:00.000Z, lasted 63.2 s, first agent after 0.4 s",
        "tier fast, de",
    ]
    assert lines[4] == "1 agent (w1), 2 turns (1 without an answer), TTFA p50 0.61 s, longest 0.61 s"
    assert "20:00:30.1  4.5 s  its agent was lost" in lines, "the day's time first: that is what a caller says"
    assert any(line.split() == ["20:00:30.1", "+30.1", "s", "agent", "lost"] for line in lines)
    assert all(len(line) <= 80 for line in lines)


def test_a_call_that_nobody_joined_yet_has_no_time() -> None:
    ordered = CallSummary(call="", room="r", region="eu", state=CallState.ORDERED)
    assert shown(picture(ordered))[0] == "r in eu: ordered"


def test_calls_are_a_table_that_folds_long_names_and_cuts_none() -> None:
    room = "a-front-end-of-its-own-named-this-room-" + "x" * 60
    lines = shown(listed([CallView(room=room, region="eu", state="waiting", since_s=12.4)]))
    assert all(len(line) <= 80 for line in lines)
    assert "".join(line.split(" ")[0] for line in lines[1:]) == room
    assert shown(listed([])) == ["No calls."]
