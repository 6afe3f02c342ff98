"""The matcher finds the question behind what recognisers really wrote, and leaves other talk alone."""

from __future__ import annotations

import pytest

from voicefleet.local.answers import read_answers
from voicefleet.local.matching import Matcher, trigrams, words
from voicefleet.local.responder import Responder

pytestmark = pytest.mark.unit

# Written by Whisper tiny.en and PocketSphinx for flite's voices.
MISHEARD = [
    ("What are your opening others?", "hours"),
    ("with our yellow opening hours.", "hours"),
    ("what are your opening bucks", "hours"),
    ("But how real opening hours?", "hours"),
    ("Can I get refund?", "refund"),
    ("can i get to refund", "refund"),
    ("how much does a basic bond cost", "price"),
    ("i'm much does a basic one post", "price"),
    ("how much does the basic plant cost?", "price"),
    ("Do you shape to Canada?", "canada"),
    ("Do you, scepter, Canada?", "canada"),
    ("How Do I Can Sew My Subscription?", "cancel"),
    ("How Do I Cancil My Subscription?", "cancel"),
    ("which payment methods hear your accent", "payment"),
    ("can i pay to human", "human"),
    ("can i speak to us human", "human"),
    ("Where does your office?", "office"),
    ("Is there a free dryle?", "trial"),
    ("Is there a three tri-hole?", "trial"),
    ("Is there a free travel?", "trial"),
]

OTHER_TALK = [
    "Hello",
    "Thank you, goodbye",
    "Tell me a joke",
    "I would like a pizza",
    "Who won the football game?",
    "What is the weather like today?",
    "you",
    "",
    "?!",
]


@pytest.mark.parametrize(("heard", "meant"), MISHEARD)
def test_misheard_questions_are_found(heard: str, meant: str) -> None:
    assert Responder().find(heard) == meant


@pytest.mark.parametrize("heard", OTHER_TALK)
def test_other_talk_matches_nothing(heard: str) -> None:
    assert Responder().find(heard) is None


def test_every_known_phrasing_finds_its_own_question_with_a_full_score() -> None:
    answers = read_answers()
    matcher = Matcher(answers.phrasings)
    for key, phrasings in answers.phrasings.items():
        for phrasing in phrasings:
            match = matcher.best(phrasing.upper())
            assert match is not None
            assert (match.key, round(match.score_ratio, 6)) == (key, 1.0)


def test_text_without_words_has_no_match() -> None:
    assert Matcher({"a": ["one"]}).best(" -- ") is None


def test_ties_go_to_the_earlier_question() -> None:
    match = Matcher({"first": ["same words"], "second": ["same words"]}).best("same words")
    assert match is not None
    assert match.key == "first"


def test_words_and_trigrams_forgive_case_marks_and_spaces() -> None:
    assert words("Don't  STOP, now!") == ["dont", "stop", "now"]
    assert trigrams("re fund") == trigrams("Refund!") == ["^re", "ref", "efu", "fun", "und", "nd$"]
