"""The question-and-answer file: the built-in one is fit for calls, and mistakes in others are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicefleet.contract.errors import ConfigError
from voicefleet.local.answers import parse_answers, read_answers

pytestmark = pytest.mark.unit

GOOD = """
greeting: Hi
follow_up: More?
fallback: Again?
questions:
  - {key: hours, ask: ["When are you open?"], answer: Always.}
"""


def test_the_built_in_answers_are_one_short_sentence_each() -> None:
    answers = read_answers()
    assert len(answers.replies) == 12
    assert answers.phrasings.keys() == answers.replies.keys()
    assert all(len(reply) <= 60 for reply in answers.replies.values())
    assert all(len(phrasings) >= 3 for phrasings in answers.phrasings.values())
    assert answers.fallback == "Sorry, I did not catch that. Could you say it again?"


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD, encoding="utf-8")
    answers = read_answers(path)
    assert answers.replies == {"hours": "Always."}
    assert answers.phrasings == {"hours": ("When are you open?",)}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (("greeting: Hi", "greeting: ''"), "mine.yaml: greeting"),
        (("fallback: Again?", "fallback: 3"), "mine.yaml: fallback"),
        (("follow_up: More?", ""), "mine.yaml: follow_up"),
        (("greeting: Hi", "greting: Hi"), "mine.yaml: greting"),
        (('["When are you open?"]', "[]"), "mine.yaml: questions[0].ask"),
        (('["When are you open?"]', "[1]"), "mine.yaml: questions[0].ask[0]"),
        (("answer: Always.", "reply: Always."), "mine.yaml: questions[0]"),
        (("answer: Always.", "answer: [x]"), "mine.yaml: questions[0].answer"),
    ],
)
def test_a_wrong_field_is_named_with_a_way_out(change: tuple[str, str], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_answers(GOOD.replace(*change), "mine.yaml")
    assert caught.value.field == field
    assert caught.value.hint


@pytest.mark.parametrize("text", ["- a", "3", "greeting: Hi\nfollow_up: a\nfallback: b\nquestions: []"])
def test_a_wrong_shape_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        parse_answers(text, "mine.yaml")


def test_broken_yaml_names_its_line() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_answers("a: 1\nb: [", "mine.yaml")
    assert str(caught.value).startswith("mine.yaml: not YAML at line 2")


def test_a_key_that_stands_twice_is_refused() -> None:
    twice = GOOD + "  - {key: hours, ask: ['Open?'], answer: Yes.}\n"
    with pytest.raises(ConfigError, match="twice"):
        parse_answers(twice, "mine.yaml")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_answers(tmp_path / "none.yaml")
    assert caught.value.field == "llm.args.path"
    assert str(caught.value.value).endswith("none.yaml")
