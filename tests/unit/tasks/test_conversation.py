"""When the caller of a task says what: after the agent, over it, again, and in answer to it."""

from __future__ import annotations

import numpy as np
import pytest

from voicefleet.callers.behavior import Action, HangUp, Say
from voicefleet.speech.clips import Utterance
from voicefleet.tasks.clips import Spoken
from voicefleet.tasks.conversation import Conversation, Script
from voicefleet.tasks.play import BEHAVIOR
from voicefleet.tasks.record import SaidText, SpeechKind

pytestmark = pytest.mark.unit

RATE = 16_000
LENGTH_S = 1.0


def sound(text: str, kind: SpeechKind = SpeechKind.TURN, over_s: float | None = None) -> Spoken:
    samples = np.zeros(round(LENGTH_S * RATE), dtype=np.int16)
    return Spoken(kind, Utterance("", text, "slt", RATE, 0, samples.size, samples), over_s, ((4000, 8000),))


class Call:
    """A conversation, driven by hand; the agent is `a`."""

    def __init__(self, *turns: Spoken, **answers: Spoken) -> None:
        script = Script(turns, answers, {"name": ("what name",)}, ("say that again",))
        self.talk = Conversation((), 0.0, BEHAVIOR, script=script)
        self.talk.agent_joined("a", 0.0)

    def agent(self, begin_s: float, end_s: float, text: str = "") -> None:
        self.talk.voice_began("a", begin_s)
        self.talk.voice_ended("a", end_s)
        if text:
            self.talk.agent_said(SaidText(text, end_s))

    def tick(self, now_s: float) -> Action | None:
        """What the caller does now; if it speaks, it does."""
        action = self.talk.tick(now_s)
        if isinstance(action, Say):
            self.talk.asked(now_s, now_s + LENGTH_S)
        return action

    def says(self, now_s: float) -> str:
        action = self.tick(now_s)
        assert isinstance(action, Say), action
        return action.utterance.text


def test_turns_are_said_when_the_agent_has_been_quiet_and_then_it_hangs_up() -> None:
    call = Call(sound("one"), sound("two"))
    assert call.tick(0.5) is None
    call.agent(1.0, 2.0)
    assert call.tick(2.5) is None
    assert call.talk.due_s() == pytest.approx(2.7)
    assert call.says(2.7) == "one"
    call.agent(4.0, 5.0)
    assert call.says(5.7) == "two"
    call.agent(7.0, 8.0)
    assert call.tick(8.7) == HangUp("done")
    assert [s.text for s in call.talk.spoke] == ["one", "two"]
    assert call.talk.spoke[0].pauses == ((2.95, 3.2),)


def test_it_answers_what_it_is_asked_and_says_again_what_was_not_understood() -> None:
    call = Call(sound("one"), sound("two"), name=sound("Miller"))
    call.agent(0.0, 1.0)
    assert call.says(1.7) == "one"
    call.agent(3.0, 4.0, "Sorry, could you say that again?")
    assert call.says(4.7) == "one"
    call.agent(6.0, 7.0, "What name is it?")
    assert call.says(7.7) == "Miller"
    call.agent(9.0, 10.0, "Thank you.")
    assert call.says(10.7) == "two"
    assert [s.repeat for s in call.talk.spoke] == [0, 1, 0, 0]


def test_a_barge_in_comes_over_the_voice_and_is_a_turn_when_the_voice_was_too_short() -> None:
    for agent_stops_s, kind in [(4.5, SpeechKind.BARGE_IN), (3.4, SpeechKind.TURN)]:
        call = Call(sound("one"), sound("wait", SpeechKind.BARGE_IN, over_s=0.8))
        call.agent(0.0, 1.0)
        call.says(1.7)
        call.talk.voice_began("a", 3.0)
        assert call.tick(3.3) is None
        if kind is SpeechKind.BARGE_IN:
            assert call.talk.due_s() == pytest.approx(3.8)
            assert call.says(3.8) == "wait"
            call.talk.voice_ended("a", agent_stops_s)
        else:
            call.talk.voice_ended("a", agent_stops_s)
            assert call.says(agent_stops_s + 0.7) == "wait"
        assert call.talk.spoke[-1].kind is kind


def test_a_cough_wants_no_reply_and_is_left_out_when_there_was_nothing_to_cough_over() -> None:
    call = Call(sound("one"), sound("", SpeechKind.COUGH, over_s=0.5), sound("two"))
    call.agent(0.0, 1.0)
    call.says(1.7)
    call.talk.voice_began("a", 3.0)
    assert call.says(3.5) == ""
    call.talk.voice_ended("a", 5.0)
    assert call.says(5.7) == "two"
    call = Call(sound("one"), sound("", SpeechKind.COUGH, over_s=0.5))
    call.agent(0.0, 1.0)
    call.says(1.7)
    call.agent(3.0, 3.2)
    assert call.tick(4.0) == HangUp("done")


def test_without_an_answer_it_says_it_again_twice_then_hangs_up() -> None:
    call = Call(sound("one"))
    call.agent(0.0, 1.0)
    call.says(1.7)
    assert call.says(2.7 + 6.0) == "one"
    assert call.says(9.7 + 6.0) == "one"
    assert call.tick(16.7 + 6.0) == HangUp("patience")
