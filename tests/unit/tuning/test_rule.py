"""The rule that chooses: what it takes, what it refuses, and what it says when nothing keeps its bounds."""

from __future__ import annotations

import pytest

from voicefleet.contract.errors import ConfigError
from voicefleet.tuning.rule import DEFAULT_RULE, choose, parse_rule

pytestmark = pytest.mark.unit

Table = dict[str, dict[str, float | None]]
FIGURES: Table = {
    "fast": {"success": 0.5, "ttfa_p95_s": 0.5},
    "middle": {"success": 0.7, "ttfa_p95_s": 0.75},
    "slow": {"success": 0.9, "ttfa_p95_s": 1.4},
}


def test_the_best_within_the_bounds_is_chosen() -> None:
    choice = choose(parse_rule(DEFAULT_RULE), FIGURES)
    assert (choice.name, choice.within_bounds) == ("middle", True)
    assert "2 of 3" in choice.why


def test_where_none_keeps_the_bounds_the_other_part_chooses_and_says_so() -> None:
    choice = choose(parse_rule("max success where ttfa_p95_s <= 0.1, else min ttfa_p95_s"), FIGURES)
    assert (choice.name, choice.within_bounds) == ("fast", False)
    assert choice.why == "no setting keeps ttfa_p95_s <= 0.1; this one has the lowest ttfa_p95_s"


def test_an_unknown_figure_keeps_no_bound() -> None:
    figures: Table = {"unknown": {"success": 1.0, "ttfa_p95_s": None}, "known": {"success": 0.1, "ttfa_p95_s": 0.7}}
    assert choose(parse_rule(DEFAULT_RULE), figures).name == "known"


def test_of_equals_the_faster_is_taken() -> None:
    figures: Table = {"a": {"success": 0.5, "ttfa_p95_s": 0.7}, "b": {"success": 0.5, "ttfa_p95_s": 0.6}}
    assert choose(parse_rule(DEFAULT_RULE), figures).name == "b"


def test_several_bounds() -> None:
    rule = parse_rule("min ttfa_p95_s where success >= 0.6 and cut_in_ratio <= 0.2")
    assert [(b.metric, b.at_most, b.value) for b in rule.bounds] == [
        ("success", False, 0.6),
        ("cut_in_ratio", True, 0.2),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("max sucess", "Did you mean success?"),
        ("best success", "max METRIC"),
        ("max success where ttfa_p95_s < 1", "is no bound"),
        ("max success where ttfa_p95_s <= 1.2.3", "is no number"),
        ("max success, else fastest", "neither max METRIC nor min METRIC"),
    ],
)
def test_what_is_no_rule_is_refused(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=r"--rule = ") as refused:
        parse_rule(text)
    assert told in str(refused.value)
