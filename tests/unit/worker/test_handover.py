"""A call changes hands only at a turn boundary, and first words after a recovery fit what was said."""

from __future__ import annotations

import pytest
from livekit.agents.llm import ChatContext, ChatRole

from voicefleet.worker.handover import Turns, at_boundary
from voicefleet.worker.resume import phrase, unanswered

pytestmark = pytest.mark.unit

NOW_S = 100.0
SETTLE_S = 2.0


@pytest.mark.parametrize(
    ("agent", "caller", "pending", "turns", "expected"),
    [
        ("listening", "listening", False, Turns(), True),
        ("listening", "listening", False, Turns(90.0, 95.0), True),
        ("speaking", "listening", False, Turns(90.0, 80.0), False),
        ("thinking", "listening", False, Turns(90.0, 80.0), False),
        ("listening", "speaking", False, Turns(90.0, 95.0), False),
        ("listening", "listening", True, Turns(90.0, 95.0), False),
        # The caller just asked, and the answer has not begun.
        ("listening", "listening", False, Turns(99.0, 95.0), False),
        # A noise that nobody answers is no turn.
        ("listening", "listening", False, Turns(97.0, 95.0), True),
    ],
)
def test_boundary(agent: str, caller: str, pending: bool, turns: Turns, expected: bool) -> None:
    assert at_boundary(agent, caller, pending, turns, NOW_S, SETTLE_S) is expected


def chat(*said: tuple[ChatRole, str]) -> ChatContext:
    context = ChatContext.empty()
    for role, text in said:
        context.add_message(role=role, content=text)
    return context


def test_unanswered() -> None:
    assert not unanswered(chat())
    assert not unanswered(chat(("user", "When?"), ("assistant", "At nine.")))
    assert unanswered(chat(("assistant", "Hello."), ("user", "When?")))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("We open at nine. Which day?", "Where were we? Which day?"),
        ("No stop", "Where were we? No stop"),
        ("x" * 200, "Where were we?"),
        ("", "Where were we?"),
    ],
)
def test_phrase(said: str, expected: str) -> None:
    assert phrase("Where were we? {last}", chat(("assistant", said), ("user", "Hm"))) == expected


def test_phrase_without_a_word_said() -> None:
    assert phrase("{last}", chat()) == ""
