"""Figures of a scenario, from made-up calls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.outcomes import CUT, FAILED, GOOD, SILENT, TURN, UNHEARD
from voicefleet.callers.outcome import CallOutcome
from voicefleet.chaos.measure import Bound, Run, call_figures, scenario_figures

pytestmark = pytest.mark.unit

ZERO_S = 1000.0
"""When every call joined."""
INJECTED_S = 1010.0


def a_call(*voices: tuple[str, float, float], ended_s: float = 30.0, turns: tuple[float, ...] = ()) -> CallOutcome:
    """A call that heard `voices`; `turns` are T0s, each answered after 0.5 s."""
    asked = tuple(replace(TURN, index=i, t0_s=t0, ttfa_s=0.5, waited_s=0.5) for i, t0 in enumerate(turns))
    return replace(GOOD, joined_at_s=ZERO_S, ended_s=ended_s, voices=voices, turns=asked, greeting_s=0.6)


KEPT = a_call(("one", 1.0, 3.0), ("one", 12.0, 14.0), turns=(4.0, 11.5))
REPLACED = a_call(("one", 1.0, 3.0), ("one", 9.0, 10.2), ("two", 12.5, 14.0), turns=(4.0, 12.0))
WAITING = replace(a_call(("two", 11.5, 12.0)), joined_at_s=INJECTED_S, greeting_s=1.5)


def a_run(*outcomes: CallOutcome, seed: int = 1) -> Run:
    return Run(seed=seed, injected_s=INJECTED_S, outcomes=outcomes, placed=len(outcomes))


def test_a_call_whose_agent_stayed_is_live_and_not_replaced() -> None:
    figures = call_figures(KEPT, INJECTED_S)
    assert (figures.live, figures.waiting, figures.voice_back_s, figures.handoff_s) == (True, False, None, None)
    assert (figures.usual_s, figures.answers_s) == ((0.5,), (0.5,))


def test_voice_back_counts_from_the_fault_to_the_first_voice_of_another_agent() -> None:
    figures = call_figures(REPLACED, INJECTED_S)
    assert figures.live
    assert figures.voice_back_s == pytest.approx(2.5)
    assert figures.handoff_s == 0.5


def test_the_old_agent_speaking_on_is_not_the_voice_back() -> None:
    call = a_call(("one", 1.0, 3.0), ("one", 10.5, 11.0), ("two", 16.0, 17.0))
    assert call_figures(call, INJECTED_S).voice_back_s == pytest.approx(6.0)


def test_an_agent_replaced_before_the_fault_is_not_replaced_by_it() -> None:
    call = a_call(("one", 1.0, 3.0), ("two", 5.0, 6.0), ("two", 12.0, 13.0))
    assert call_figures(call, INJECTED_S).voice_back_s is None


def test_a_caller_who_comes_with_the_fault_waits() -> None:
    figures = call_figures(WAITING, INJECTED_S)
    assert (figures.live, figures.waiting, figures.voice_back_s, figures.first_voice_s) == (False, True, None, 1.5)
    late = replace(WAITING, joined_at_s=INJECTED_S + 5.0)
    assert not call_figures(late, INJECTED_S).waiting


def test_a_call_that_was_over_before_the_fault_is_neither() -> None:
    figures = call_figures(a_call(("one", 1.0, 3.0), ended_s=9.0), INJECTED_S)
    assert (figures.live, figures.waiting) == (False, False)


def test_a_scenario_without_loss_and_within_its_bound_passes() -> None:
    scenario = scenario_figures("x", [a_run(KEPT, REPLACED, WAITING)], Bound(voice_back_s=3.0))
    assert scenario["passed"], scenario["problems"]
    assert (scenario["calls"], scenario["live"], scenario["waiting"], scenario["replaced"]) == (3, 2, 1, 1)
    assert (scenario["silent"], scenario["cut"], scenario["double_speech"], scenario["lost"]) == (0, 0, 0, 0)
    assert scenario["voice_back_p50_s"] == scenario["voice_back_p95_s"] == 2.5
    assert scenario["answer_p95_s"] == 0.5
    assert scenario["waiting_p95_s"] == 1.5
    assert scenario["seeds"] == [1]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (SILENT, "1 callers heard nothing"),
        (UNHEARD, "1 callers heard nothing"),
        (CUT, "1 callers lost the agent"),
        (replace(GOOD, double_speech=2), "2 times two agents spoke at once"),
        (FAILED, "1 calls failed"),
    ],
)
def test_every_kind_of_loss_fails_the_scenario(call: CallOutcome, says: str) -> None:
    scenario = scenario_figures("x", [a_run(KEPT, call)], Bound())
    assert not scenario["passed"]
    assert any(says in sentence for sentence in scenario["problems"]), scenario["problems"]


def test_a_call_whose_events_did_not_come_fails_the_scenario_and_unknown_is_no_zero() -> None:
    assert scenario_figures("x", [a_run(KEPT)], Bound())["hooks_lost"] is None, "nobody looked yet"
    told = scenario_figures("x", [replace(a_run(KEPT), hooks=())], Bound())
    assert (told["hooks_lost"], told["passed"]) == (0, True)
    lost = scenario_figures("x", [replace(a_run(KEPT), hooks=("call.ended never came",))], Bound())
    assert (lost["hooks_lost"], lost["passed"]) == (1, False)
    assert any("call.ended" in sentence for sentence in lost["problems"])


def test_a_call_that_never_ended_is_lost() -> None:
    scenario = scenario_figures("x", [replace(a_run(KEPT), placed=2)], Bound())
    assert (scenario["lost"], scenario["passed"]) == (1, False)


def test_a_call_that_is_handed_over_has_no_voice_to_come_back() -> None:
    scenario = scenario_figures("x", [a_run(REPLACED)], Bound(extra_wait_s=1.0))
    assert scenario["voice_back_p50_s"] is scenario["voice_back_p95_s"] is None
    assert scenario["replaced"] == 1


def test_a_late_voice_fails_the_row_and_so_does_none() -> None:
    late = scenario_figures("x", [a_run(REPLACED)], Bound(voice_back_s=2.0))
    assert late["problems"] == ["the voice was back after 2.5 s (p95), more than 2 s"]
    assert scenario_figures("x", [a_run(KEPT)], Bound(voice_back_s=2.0))["problems"] == ["no call got a new agent"]


def test_void_runs_and_runs_without_their_fault_do_not_count() -> None:
    void = replace(a_run(SILENT, seed=2), void=True)
    failed = replace(a_run(SILENT, seed=3), failed="no worker serves a call")
    scenario = scenario_figures("x", [a_run(KEPT), void, failed], Bound())
    assert (scenario["calls"], scenario["silent"], scenario["void"], scenario["seeds"]) == (1, 0, 1, [1])
    assert scenario["problems"] == ["seed 3: no worker serves a call"]
    assert scenario_figures("x", [void], Bound())["problems"] == ["no run counts"]


def test_workers_that_were_told_to_leave() -> None:
    runs = [replace(a_run(REPLACED), empty_s=(2.0, 4.0)), replace(a_run(KEPT, seed=2), empty_s=(3.0,))]
    scenario = scenario_figures("x", runs, Bound(empty_s=15.0, extra_wait_s=1.0))
    assert scenario["passed"], scenario["problems"]
    assert scenario["empty_p50_s"] == 3.0
    assert scenario["extra_wait_p95_s"] == 0.0
    never = scenario_figures("x", [replace(runs[0], empty_s=(None,))], Bound(empty_s=15.0))
    assert never["problems"] == ["1 workers never got empty", "no worker got empty"]


def test_a_handoff_that_costs_time_in_its_turn_is_seen() -> None:
    slow = replace(REPLACED, turns=(REPLACED.turns[0], replace(REPLACED.turns[1], ttfa_s=2.5, waited_s=2.5)))
    scenario = scenario_figures("x", [replace(a_run(slow), empty_s=(2.0,))], Bound(empty_s=15.0, extra_wait_s=1.0))
    assert scenario["extra_wait_p95_s"] == 2.0
    assert scenario["problems"] == ["a handoff added to an answer after 2 s (p95), more than 1 s"]


def test_alike_notes_are_counted() -> None:
    runs = [replace(a_run(KEPT, seed=seed), notes=("a", "b")[: 3 - seed]) for seed in (1, 2)]
    assert scenario_figures("x", runs, Bound())["notes"] == "2x a; b"
