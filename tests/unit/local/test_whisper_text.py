"""What is done around Whisper: the window it computes, and sentences it repeats."""

from __future__ import annotations

import pytest

from voicefleet.local.model_server.whisper import collapse_repeats, window_s

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("audio_s", "shortest_s", "expected"),
    [(2, 10, 10), (9, 10, 10), (9.1, 10, 15), (14, 10, 15), (14.5, 10, 30), (29, 10, 30), (2, 15, 15), (2, 30, 30)],
)
def test_the_window_holds_the_speech_and_a_second_more(audio_s: float, shortest_s: float, expected: float) -> None:
    assert window_s(audio_s, shortest_s) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Where is my order? Where is my order?", "Where is my order?"),
        ("Where is my order? Where is my", "Where is my order?"),
        ("Where is my order? Is it late?", "Where is my order? Is it late?"),
        ("No. Nothing.", "No. Nothing."),
        ("It is free", "It is free"),
        ("", ""),
        ("...", ""),
    ],
)
def test_repeated_sentences_are_said_once(text: str, expected: str) -> None:
    assert collapse_repeats(text) == expected
