"""Word errors: numbers are words, and the count is that of Levenshtein."""

from __future__ import annotations

import pytest

from voicefleet.scoring.words import plain_words, word_errors

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Booked at 7 PM.", "booked at seven p.m."),
        ("At 7:30, it's OK", "at seven thirty its ok"),
        ("at 19:00", "at nineteen"),
        ("555-0123", "five five five zero one two three"),
        ("42 people", "forty two people"),
        ("07", "zero seven"),
        ("20 to 90", "twenty to ninety"),
    ],
)
def test_what_sounds_the_same_is_the_same(one: str, other: str) -> None:
    assert plain_words(one) == plain_words(other)


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a c", 1),
        ("a c", "a b c", 1),
        ("a b c", "x y z w", 4),
        ("a b", "", 2),
        ("", "a", 1),
    ],
)
def test_errors_are_the_least_changes(said: str, heard: str, errors: int) -> None:
    assert word_errors(said.split(), heard.split()) == errors
