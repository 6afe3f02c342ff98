"""The result of a chaos run, for machines and for people."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from support.outcomes import CUT, GOOD
from support.terminal import rendered, terminal, text_of
from voicefleet.chaos.command import list_scenarios, show
from voicefleet.chaos.measure import Bound, Run, scenario_figures
from voicefleet.chaos.report import build_result, not_run, run_line, table

pytestmark = pytest.mark.unit

PROMISED = {"scenario", "calls", "silent", "cut", "voice_back_p50_s", "voice_back_p95_s", "double_speech", "notes"}
RUN = Run(seed=3, injected_s=10.0, outcomes=(GOOD,), placed=1)


def result(*scenarios: dict[str, Any]) -> dict[str, Any]:
    facts = {"complete": True, "wall_s": 12.3, "machine": {"cores": 2}, "versions": {"voicefleet": "0"}}
    return build_result(scenarios, [3], facts)


def test_a_good_row_makes_a_good_result() -> None:
    made = result(scenario_figures("controller-kill9", [RUN], Bound()))
    assert set(made) == {"scenarios", "passed", "complete", "seeds", "wall_s", "machine", "versions"}
    assert set(made["scenarios"][0]) >= PROMISED
    assert (made["passed"], made["wall_s"], made["seeds"]) == (True, 12.3, [3])
    assert json.loads(json.dumps(made)) == made


def test_a_scenario_that_was_not_run_is_unknown_and_not_good() -> None:
    made = result(scenario_figures("controller-kill9", [RUN], Bound()), not_run("packet-loss", ["no root"]))
    assert not made["passed"]
    scenario = made["scenarios"][1]
    assert set(scenario) >= PROMISED
    assert (scenario["calls"], scenario["silent"], scenario["notes"]) == (0, None, "not run: no root")
    assert not result()["passed"], "nothing was run, so nothing is shown"


def test_an_interrupted_run_is_not_good() -> None:
    good = scenario_figures("controller-kill9", [RUN], Bound())
    made = build_result([good], [3], {"complete": False, "wall_s": 1.0, "machine": {}, "versions": {}})
    assert (made["passed"], made["complete"]) == (False, False)


def test_the_table_shows_every_row_and_its_verdict() -> None:
    bad = scenario_figures("redis-restart-empty", [replace(RUN, outcomes=(CUT,) * 25)], Bound(voice_back_s=3.0))
    bad |= dict.fromkeys(("voice_back_p50_s", "voice_back_p95_s", "answer_p95_s", "empty_p95_s"), 12.345)
    text = rendered(table(result(bad, not_run("packet-loss", ["no root"]))))
    assert "redis-restart-empty" in text
    assert all(
        header in text for header in ("calls", "silent", "cut", "double", "lost", "hooks", "back", "answer", "empty")
    )
    assert text.count("12.3 ") == 3
    assert "bad" in text
    assert "not run" in text


def test_the_printed_result_says_why_a_scenario_is_bad() -> None:
    console = terminal()
    show(result(not_run("packet-loss", ["no [root]"])), console)
    text = text_of(console)
    assert "packet-loss: not run: no [root]" in text
    assert "0 of 1 scenarios good" in text


def test_the_list_of_scenarios_fits_80_columns() -> None:
    console = terminal()
    list_scenarios(console)
    text = text_of(console)
    assert "redis-restart-empty" in text
    assert "root, iptables" in text


def test_a_run_in_a_line() -> None:
    assert run_line("x", RUN) == "x seed 3: 1 calls, all well"
    assert run_line("x", replace(RUN, outcomes=(CUT,), placed=2)) == "x seed 3: 2 calls, 1 cut, 1 lost"
    assert run_line("x", replace(RUN, void=True)) == "x seed 3: 1 calls, void, the machine was too busy"
    assert run_line("x", replace(RUN, failed="no worker")) == "x seed 3: 1 calls, no worker"
