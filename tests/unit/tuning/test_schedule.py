"""Rounds within a budget, who goes on, and in which order settings play."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicefleet.contract.errors import ConfigError
from voicefleet.tuning.options import TuneOptions, parse_length
from voicefleet.tuning.rule import DEFAULT_RULE, parse_rule
from voicefleet.tuning.schedule import in_order, interleaved, least_budget_s, plan, plays_of_round, survivors

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("minutes", [3, 5, 10, 20, 50, 500])
@pytest.mark.parametrize("at_once", [1, 2, 4, 8])
def test_a_plan_fits_its_budget(minutes: int, at_once: int) -> None:
    made = plan(minutes * 60, candidates=24, tasks=62, heldout_tasks=37, at_once=at_once)
    assert (made.plays + 2 * made.heldout) * 25.0 / at_once <= minutes * 60 or made.fields == (2,)
    assert list(made.fields) == sorted(made.fields, reverse=True)
    assert sum(made.tasks) <= 62
    assert 1 <= made.heldout <= 37


def test_a_longer_budget_tries_more_settings_and_leaves_few_for_the_end() -> None:
    short = plan(600, candidates=100, tasks=62, heldout_tasks=37, at_once=4)
    long = plan(3_000, candidates=100, tasks=62, heldout_tasks=37, at_once=4)
    assert long.fields[0] > short.fields[0]
    assert len(long.fields) > len(short.fields)
    assert long.fields[-1] < long.fields[0] / 4


def test_a_budget_too_small_for_one_trial_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"at least {least_budget_s(2):.0f}s"):
        TuneOptions(out=tmp_path, budget_s=least_budget_s(2) - 1, at_once=2)
    TuneOptions(out=tmp_path, budget_s=least_budget_s(2), at_once=2)


def test_lengths() -> None:
    assert (parse_length("90s", name="budget"), parse_length("10m", name="budget")) == (90.0, 600.0)
    with pytest.raises(ConfigError, match="--budget = '10 parsecs'"):
        parse_length("10 parsecs", name="budget")


def test_the_rules_best_and_the_front_go_on() -> None:
    figures: dict[str, dict[str, float | None]] = {
        "bad": {"success": 0.1, "ttfa_p95_s": 2.0},
        "good": {"success": 0.9, "ttfa_p95_s": 1.5},
        "fast": {"success": 0.3, "ttfa_p95_s": 0.4},
        "sweet": {"success": 0.6, "ttfa_p95_s": 0.7},
        "unheard": {"success": None, "ttfa_p95_s": None},
    }
    assert survivors(figures, parse_rule(DEFAULT_RULE), 3)[0] == "sweet"
    assert set(survivors(figures, parse_rule(DEFAULT_RULE), 3)) == {"sweet", "fast", "good"}
    assert survivors(figures, parse_rule(DEFAULT_RULE), 4)[3] == "bad"


def test_settings_take_turns_and_none_is_always_first() -> None:
    plays = [("a", 0), ("b", 0), ("c", 0)]
    blocks = interleaved(("x", "y"), plays, at_once=2)
    assert blocks == (("x", (("a", 0), ("b", 0))), ("y", (("a", 0), ("b", 0))), ("y", (("c", 0),)), ("x", (("c", 0),)))


def test_goals_take_turns() -> None:
    order = in_order({"b1": "book", "b2": "book", "b3": "book", "c1": "cancel", "a1": "ask"}, seed=3)
    assert {task[0] for task in order[:3]} == {"a", "b", "c"}
    assert order == in_order({"b1": "book", "b2": "book", "b3": "book", "c1": "cancel", "a1": "ask"}, seed=3)


def test_the_last_round_plays_some_tasks_twice_more_for_pass_3() -> None:
    order = [f"t{n}" for n in range(30)]
    first = plays_of_round(order, [], 3, last=False)
    assert first == (("t0", 0), ("t1", 0), ("t2", 0))
    last = plays_of_round(order, first, 8, last=True)
    assert last[:4] == (("t0", 1), ("t0", 2), ("t1", 1), ("t1", 2))
    assert last[4:] == (("t3", 0), ("t4", 0), ("t5", 0), ("t6", 0))
