"""The sum of a run: exact figures, and nothing that went wrong is left out of them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from support.outcomes import GOOD, TURN
from voicefleet.callers.outcome import CallOutcome, call_from_json, samples, summary

pytestmark = pytest.mark.unit

CALL = replace(GOOD, turns=(TURN,))


def test_a_run_of_good_calls() -> None:
    calls = [replace(CALL, greeting_s=1.0 + i, turns=(replace(TURN, ttfa_s=0.5 + i),)) for i in range(3)]
    assert summary(calls) == {
        "calls": {"offered": 3, "answered": 3, "silent": 0, "cut": 0},
        "turns": {"asked": 3, "answered": 3, "apologies": 0},
        "join_s": {"p50": 0.1, "p95": 0.1, "max": 0.1},
        "ttfa_s": {"p50": 1.5, "p95": pytest.approx(2.4), "max": 2.5},
        "greeting_s": {"p50": 2.0, "p95": pytest.approx(2.9), "max": 3.0},
        # Late by 10 ms, placed in 100 ms, joined in 100 ms.
        "pickup_s": {"p50": pytest.approx(2.21), "p95": pytest.approx(3.11), "max": pytest.approx(3.21)},
        "wait_s": {"p50": 0.2, "p95": 0.2, "max": 0.2},
    }


def test_no_calls_give_no_figures_rather_than_zeros() -> None:
    nothing = {"p50": None, "p95": None, "max": None}
    assert summary([]) == {
        "calls": {"offered": 0, "answered": 0, "silent": 0, "cut": 0},
        "turns": {"asked": 0, "answered": 0, "apologies": 0},
        "join_s": nothing,
        "ttfa_s": nothing,
        "greeting_s": nothing,
        "pickup_s": nothing,
        "wait_s": nothing,
    }


def test_unanswered_turns_count_with_the_time_waited() -> None:
    lost = replace(TURN, ttfa_s=None, answered=False, waited_s=60.3, reply_end_s=None)
    hung_up_early = replace(lost, waited_s=3.0)
    got = summary([replace(CALL, turns=(TURN, lost, hung_up_early), silent=True)])
    assert got["turns"] == {"asked": 3, "answered": 1, "apologies": 0}
    assert got["ttfa_s"]["p50"] == 10.0
    assert got["ttfa_s"]["max"] == 60.3
    assert got["calls"]["silent"] == 1


def test_a_cut_in_has_no_ttfa_but_an_unanswered_one_counts_as_a_time_out() -> None:
    cut_in = replace(TURN, ttfa_s=None, cut_in=True, waited_s=0.0)
    assert summary([replace(CALL, turns=(TURN, cut_in))])["ttfa_s"]["max"] == 0.5
    lost = replace(cut_in, answered=False, waited_s=11.0)
    assert summary([replace(CALL, turns=(TURN, lost))])["ttfa_s"]["max"] == 11.0


def test_a_call_that_failed_is_offered_and_counts_as_having_waited_in_vain() -> None:
    failed = CallOutcome("c", "eu", "r", "slt", t_start_s=0.0, lag_s=0.0, place_s=0.0, error="connect: no")
    got = summary([CALL, failed], timeout_s=10.0)
    assert got["calls"] == {"offered": 2, "answered": 1, "silent": 0, "cut": 0}
    assert got["greeting_s"]["max"] == 10.0
    assert got["wait_s"]["max"] == 10.0


def test_an_outcome_is_json() -> None:
    data = json.loads(json.dumps(CALL.to_json()))
    assert data["turns"][0]["ttfa_s"] == 0.5
    assert data["events"] == [[0.0, "joined"]]
    assert data["greeting_s"] == 0.8
    assert set(data) == {*CallOutcome.__dataclass_fields__, "result", "pickup_s"}
    assert call_from_json({**data, "of_a_later_version": 1}) == CALL


def test_questions_that_a_broken_call_never_came_to_ask_count_as_time_outs() -> None:
    broken = replace(CALL, questions=3, ended_by="disconnected")
    assert samples([broken], 10.0)["ttfa_s"] == [0.5, 10.0, 10.0]
    for willing in ("done", "hangup"):
        assert samples([replace(broken, ended_by=willing)], 10.0)["ttfa_s"] == [0.5]


def test_the_first_voice_counts_from_the_intended_start() -> None:
    late = replace(CALL, lag_s=2.0, place_s=3.0, connect_s=0.5, greeting_s=1.0)
    assert late.pickup_s == 6.5
    assert samples([replace(late, greeting_s=None, ended_s=60.0)], 10.0)["pickup_s"] == [65.5]
