"""The result of a chaos run, for machines and for people."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from support.outcomes import CUT, GOOD
from voicefleet.chaos.measure import Bound, Run, scenario_figures
from voicefleet.chaos.report import build_result, not_run, run_line, table

pytestmark = pytest.mark.unit

PROMISED = {"scenario", "calls", "silent", "cut", "voice_back_p50_s", "voice_back_p95_s", "double_speech", "notes"}
RUN = Run(seed=3, injected_s=10.0, outcomes=(GOOD,), placed=1)


def result(*scenarios: dict[str, Any]) -> dict[str, Any]:
    return build_result(scenarios, machine={"cores": 2}, versions={"voicefleet": "0"}, seeds=[3], wall_s=12.345)


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
    made = build_result([good], machine={}, versions={}, seeds=[3], wall_s=1.0, complete=False)
    assert (made["passed"], made["complete"]) == (False, False)


def test_the_table_shows_every_row_and_its_verdict() -> None:
    bad = scenario_figures("job-kill9", [replace(RUN, outcomes=(CUT,))], Bound(voice_back_s=3.0))
    console = Console(width=200, record=True)
    console.print(table(result(bad, not_run("packet-loss", ["no root"]))))
    text = console.export_text()
    assert "job-kill9" in text
    assert "bad" in text
    assert "not run" in text


def test_a_run_in_a_line() -> None:
    assert run_line("x", RUN) == "x seed 3: 1 calls, all well"
    assert run_line("x", replace(RUN, outcomes=(CUT,), placed=2)) == "x seed 3: 2 calls, 1 cut, 1 lost"
    assert run_line("x", replace(RUN, void=True)) == "x seed 3: 1 calls, void, the machine was too busy"
    assert run_line("x", replace(RUN, failed="no worker")) == "x seed 3: 1 calls, no worker"
