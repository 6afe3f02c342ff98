"""A run is judged by what its agents wrote down: hooks once, no way back to the first agent, no work left undone."""

from __future__ import annotations

import json

import pytest

from voicefleet.chaos.journal import journal_problems, read_journal

pytestmark = pytest.mark.unit

GOOD = ["answer:Billing", "begun:Billing", "answer:Billing", "booked:Billing", "end:Billing"]


def problems(*lines: str, cut: bool = False) -> list[str]:
    text = "".join(json.dumps({"room": "r", "what": w, "agent": a}) + "\n" for w, a in (x.split(":") for x in lines))
    return journal_problems(read_journal(text), ["r", "hung-up-at-once"], cut=cut)


def test_a_good_run() -> None:
    assert problems(*GOOD) == []
    assert problems("answer:Desk", *GOOD) == []


def test_a_hook_that_is_missing_or_runs_twice() -> None:
    assert problems(*GOOD[:-1]) == ["on_call_end was called [0] times in 1 calls, and not once in each"]
    assert problems(*GOOD, "end:Billing") == ["on_call_end was called [2] times in 1 calls, and not once in each"]


def test_a_call_that_is_back_at_its_first_agent() -> None:
    assert problems("answer:Billing", "answer:Desk", "end:Desk") == ["1 calls were back at their first agent"]


def test_work_that_was_cut_off_is_good_only_where_processes_are_killed() -> None:
    lines = [line for line in GOOD if not line.startswith("booked")]
    assert problems(*lines) == ["the work of 1 calls was begun and not ended"]
    assert problems(*lines, cut=True) == []
