"""Rounds within a budget, who goes on, and in which order settings play."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest

from voicefleet.contract.errors import ConfigError
from voicefleet.tuning.budget import BLOCK_GUESS_S, Budget, least_budget_s
from voicefleet.tuning.options import TuneOptions, parse_length
from voicefleet.tuning.rule import DEFAULT_RULE, parse_rule
from voicefleet.tuning.schedule import in_order, in_rows, plan, plays_of_round, survivors

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("minutes", [3, 5, 10, 20, 50, 500])
@pytest.mark.parametrize("at_once", [1, 2, 4, 8])
def test_a_plan_fits_its_budget(minutes: int, at_once: int) -> None:
    made = plan(minutes * 60, candidates=24, tasks=62, heldout_tasks=37, at_once=at_once)
    assert (made.plays + 2 * made.heldout) * BLOCK_GUESS_S / at_once <= minutes * 60 or made.fields == (2,)
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
    with pytest.raises(ConfigError, match=f"--budget = '.*'.* at least {math.ceil(least_budget_s())}s"):
        TuneOptions(out=tmp_path, budget_s=least_budget_s() - 1)
    TuneOptions(out=tmp_path, budget_s=least_budget_s())


def test_time_for_the_check_is_set_aside_and_grows_with_what_calls_take() -> None:
    budget = Budget(600.0)
    assert budget.search_left_s(0.0) == 600 - 25 - 150
    assert budget.rows(100.0, 2) == 1
    for _ in range(2):
        budget.note_block(70.0)
    # Two blocks of 70 s and a margin, and the start of their fleet, are more than a quarter.
    assert budget.search_left_s(0.0) == pytest.approx(600 - 25 - (20 + 2 * 1.3 * 70))
    assert budget.check_left_s(400.0) == 175.0
    assert budget.rows(100.0, 2) == 0


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
    rows = in_rows(("x", "y"), plays, at_once=2)
    assert rows == (
        (("x", (("a", 0), ("b", 0))), ("y", (("a", 0), ("b", 0)))),
        (("y", (("c", 0),)), ("x", (("c", 0),))),
    )


def test_the_first_tasks_are_of_the_same_goals_as_the_whole_set() -> None:
    goals = {f"{goal}{n}": goal for goal, many in (("book", 12), ("refuse", 24), ("ask", 4)) for n in range(many)}
    order = in_order(goals, seed=3)
    assert sorted(order) == sorted(goals)
    assert Counter(goals[task] for task in order[:10]) == {"book": 3, "refuse": 6, "ask": 1}
    assert order == in_order(goals, seed=3)
    assert order != in_order(goals, seed=4)


def test_the_last_round_plays_some_tasks_twice_more_for_pass_3() -> None:
    order = [f"t{n}" for n in range(30)]
    first = plays_of_round(order, [], 3, last=False)
    assert first == (("t0", 0), ("t1", 0), ("t2", 0))
    last = plays_of_round(order, first, 8, last=True)
    assert last[:4] == (("t0", 1), ("t0", 2), ("t1", 1), ("t1", 2))
    assert last[4:] == (("t3", 0), ("t4", 0), ("t5", 0), ("t6", 0))
