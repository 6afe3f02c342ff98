"""What `voicefleet check` prints, and its JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from voicefleet.worker.check.findings import Findings, Stage, from_json, lines

pytestmark = pytest.mark.unit

FOUND = Findings(
    "my.py:server",
    "server",
    "fast",
    reached=True,
    stages={"stt": Stage("A", "B", "tier", 2.5), "llm": Stage("C", "C", "team", 5.0), "tts": Stage()},
    turns="by the tier: vad",
    agent="Assistant",
    hooks={"setup_fnc": True, "on_request": False},
    moves={"Assistant": "is made again"},
    notes=("a note",),
)


def test_each_stage_says_whose_it_is() -> None:
    text = lines(FOUND)
    assert "stt    B of the tier, in place of A, 2.5 s for its output" in text
    assert "llm    C of the agent stays, 5 s for its output" in text
    assert "tts    none" in text
    assert "hooks  setup_fnc (not there: on_request)" in text
    assert "moves  Assistant: is made again" in text
    assert "note   a note" in text


def test_findings_go_through_json_unchanged() -> None:
    assert from_json(json.loads(json.dumps(FOUND.to_json()))) == FOUND


def test_only_an_agent_that_was_reached_without_a_problem_passes() -> None:
    assert FOUND.passed
    assert not replace(FOUND, problems=("it raised",)).passed
    assert not replace(FOUND, reached=False).passed
