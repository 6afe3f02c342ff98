"""Logs say what failed and where, and never what was being said, by whom, or with which secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from security.leaky_program import CARD, PRIVATE, WHO

pytestmark = pytest.mark.integration

PROGRAM = Path(__file__).parent / "leaky_program.py"
FORMS = ("json", "console")


@cache
def output(form: str, personal: str = "false") -> str:
    """Everything that the process wrote, on stdout and stderr."""
    ended = subprocess.run(
        [sys.executable, PROGRAM, form, personal],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(PROGRAM.parent), "COLUMNS": "400", "NO_COLOR": "1"},
    )
    assert ended.returncode == 1, ended.stderr  # its last error is uncaught
    return ended.stdout + ended.stderr


def records() -> list[dict[str, Any]]:
    return [json.loads(line) for line in output("json").splitlines()]


def said(event: str) -> dict[str, Any]:
    found = [record for record in records() if record["event"] == event]
    assert len(found) == 1, f"{event}: {[r['event'] for r in records()]}"
    return found[0]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("leak", [CARD, WHO, "anna", PRIVATE, "hunter2"])
def test_nothing_that_was_said_and_no_secret_is_in_any_line(form: str, leak: str) -> None:
    lines = [line for line in output(form).splitlines() if leak in line]
    assert not lines


def test_every_line_is_a_record_of_the_one_filter() -> None:
    """Python's own printing of errors, of threads, of warnings, of records it cannot format: none gets past it."""
    text = output("json")
    assert "Traceback" not in text
    assert all(record["event"] and record["level"] for record in records())


def test_an_error_is_told_with_type_frames_and_causes() -> None:
    lines = said("the tool failed")["exception"].splitlines()
    assert lines[0] == "__main__.ToolError"
    assert [line.split(":")[0].strip() for line in lines[1:3]] == ["__main__.our_own", "__main__.look_up"]
    assert all(line.rpartition(":")[2].isdigit() for line in lines[1:3])
    assert lines[3:5] == ["caused by:", "KeyError"]
    assert said("the tool failed")["error"] == "ToolError"


def test_the_text_of_an_error_of_ours_is_told() -> None:
    first = said("state unknown")["exception"].splitlines()[0]
    assert first == "voicefleet.contract.errors.UnknownStateError: Redis did not answer (TimeoutError)"
    assert said("config")["error"] == "tiers = 'fast': no such tier. Name another."


def test_identities_and_secrets_are_hidden_at_any_depth() -> None:
    who = said("who")
    assert who["identity"] == who["caller_identity"] == who["livekit_token"] == "[hidden]"
    assert who["seen"] == {"participants": "[hidden]"}
    what = said("what")
    assert what["settings"] == "<Settings>"
    assert what["nested"] == [{"password": "[hidden]"}]


def test_of_other_libraries_only_the_words_in_their_source_are_told() -> None:
    events = [record["event"] for record in records()]
    assert "participant … left after 7 s" in events
    assert "closing due to unrecoverable error: …" in events
    assert "livekit_ffi::server:279:livekit_ffi::server - …" in events
    left = said("participant … has left, and said …")
    assert left["participant"] == left["note"] == "[hidden]"
    assert left["room"] == "room-1"
    tool = said("exception in a tool")
    assert (tool["function"], tool["attempt"], tool["error"]) == ("look_up", 3, "ToolError")
    assert tool["exception"].startswith("__main__.ToolError\n")
    assert len([event for event in events if event.startswith("a message at leaky_program:")]) == 2


@pytest.mark.parametrize(
    "event",
    [
        "Task exception was never retrieved",
        "Exception in callback look_up",
        "uncaught error, a thread ends",
        "error where none can be raised",
        "uncaught error, the process ends",
        "several",
    ],
)
def test_what_nobody_caught_is_told_with_its_frames(event: str) -> None:
    assert "ToolError\n" in said(event)["exception"]
    assert ":" in said(event)["exception"]


def test_a_warning_of_pythons_is_told_by_its_place() -> None:
    warned = said("a warning of Python's")
    assert warned["category"] == "UserWarning"
    assert warned["line"] > 0


@pytest.mark.parametrize("form", FORMS)
def test_personal_data_that_was_asked_for_is_told_and_secrets_are_not(form: str) -> None:
    text = output(form, "true")
    assert f"no such card: my card is {CARD}" in text
    assert f"participant {WHO} left after 7 s" in text
    assert "careful with" in text
    hidden = [line for line in text.splitlines() if "livekit_token" in line or "api_secret" in line]
    assert hidden
