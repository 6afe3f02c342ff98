"""The caller's conversation in made-up time: what is silent, cut, a cut-in, a TTFA, and what is not."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from voicefleet.callers.behavior import Action, Ask, CallerBehavior, HangUp
from voicefleet.callers.dialogue import Dialogue
from voicefleet.contract.errors import ConfigError

pytestmark = pytest.mark.unit

JOINED = 100.0


@dataclass
class Stage:
    """Plays a dialogue: `at(t)` lets time pass up to t, asking the questions (1 s long) as they come."""

    texts: tuple[str, ...] = ("one?", "two?")
    behavior: CallerBehavior = field(default_factory=CallerBehavior)
    notes: list[tuple[str, float]] = field(default_factory=list)
    actions: list[tuple[float, Action]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.d = Dialogue(self.texts, JOINED, self.behavior, lambda kind, t: self.notes.append((kind, t)))
        self.now = JOINED

    def at(self, t: float) -> Dialogue:
        """Let time pass to JOINED + t, acting whenever the dialogue wants to."""
        end = JOINED + t
        for _ in range(1000):
            if self.actions and isinstance(self.actions[-1][1], HangUp):
                break
            action = self.d.tick(self.now)
            if action is not None:
                self.actions.append((self.now - JOINED, action))
                if isinstance(action, Ask):
                    self.d.asked(self.now + 0.1, self.now + 1.1)
                continue
            due = self.d.due_s()
            assert due is None or due > self.now, "a due time that is past would spin"
            if due is None or due > end:
                break
            self.now = due
        self.now = max(self.now, end)
        return self.d

    def voice(self, start: float, end: float, who: str = "a") -> None:
        """Agent `who` speaks from `start` to `end` (reported with the detector's delays)."""
        self.at(start + 0.06).voice_began(who, JOINED + start)
        self.at(end + 0.2).voice_ended(who, JOINED + end)

    def acted(self) -> list[tuple[float, Action]]:
        return [(round(t, 6), action) for t, action in self.actions]

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.notes]


def test_a_good_call() -> None:
    stage = Stage()
    stage.at(0.0).agent_joined("a", JOINED + 0.2)
    stage.voice(0.5, 2.0)  # then one is asked at 2.65, voiced 2.75 to 3.75
    stage.voice(4.5, 6.0)  # then two is asked at 6.65, voiced 6.75 to 7.75
    stage.voice(9.0, 10.0)
    stage.at(20)
    one, two = stage.d.turns(stage.now)
    assert [(round(t, 6), type(a)) for t, a in stage.actions] == [(2.65, Ask), (6.65, Ask), (10.65, HangUp)]
    assert stage.actions[-1][1] == HangUp("done")
    assert (one.asked_at_s, one.t0_s, one.ttfa_s) == pytest.approx((2.75, 3.75, 0.75))
    assert (two.ttfa_s, two.waited_s, two.reply_end_s) == pytest.approx((1.25, 1.25, 10.0))
    assert one.reply_end_s == pytest.approx(6.0)
    assert (one.answered, two.answered, one.cut_in, stage.d.silent, stage.d.cut) == (True, True, False, False, False)
    assert stage.d.first_agent_s == JOINED + 0.2
    assert stage.d.first_voice_s == JOINED + 0.5
    assert stage.kinds() == ["agent_joined", "greeting", "asked", "reply", "asked", "reply"]


def test_pauses_inside_an_answer_do_not_make_a_turn() -> None:
    stage = Stage(texts=("one?",))
    for start in (0.5, 1.5, 2.5):
        stage.voice(start, start + 0.5)  # pauses of 0.5 s < settle_s
    assert stage.actions == []
    stage.at(3.7)
    assert [round(t, 6) for t, _ in stage.actions] == [3.65]


def test_an_agent_that_never_speaks_is_silent_and_the_caller_leaves_when_patience_ends() -> None:
    stage = Stage()
    stage.at(9.9)
    assert not stage.d.silent
    stage.at(10.4)
    assert stage.d.silent
    assert ("silent", JOINED + 10.0) in stage.notes
    stage.at(100)
    assert stage.acted() == [(60.3, HangUp("patience"))]
    assert (stage.d.turns(stage.now), stage.d.cut, stage.d.first_voice_s) == ((), False, None)


def test_a_late_greeting_is_recorded_and_the_call_is_silent_all_the_same() -> None:
    stage = Stage(texts=("one?",))
    stage.voice(12.0, 13.0)
    stage.voice(15.5, 16.0)
    stage.at(30)
    assert stage.d.first_voice_s == JOINED + 12.0
    assert stage.d.silent
    assert stage.actions[-1][1] == HangUp("done")


def test_a_greeting_just_in_time_but_reported_late_is_not_silent() -> None:
    stage = Stage()
    stage.at(10.2).voice_began("a", JOINED + 9.99)
    assert not stage.d.silent


def test_a_turn_without_a_reply_is_scored_as_unanswered() -> None:
    stage = Stage(texts=("one?",))
    stage.voice(0.5, 1.0)  # asked at 1.65, T0 2.75
    stage.at(100)
    (turn,) = stage.d.turns(stage.now)
    assert (turn.answered, turn.ttfa_s, turn.reply_end_s, stage.d.silent) == (False, None, None, True)
    assert turn.waited_s >= 60
    assert stage.actions[-1][1] == HangUp("patience")


def test_a_late_reply_is_no_answer_but_the_call_goes_on() -> None:
    stage = Stage()
    stage.voice(0.5, 1.0)  # T0 2.75
    stage.voice(15.0, 16.0)
    stage.voice(18.5, 19.0)  # T0 17.75
    stage.at(40)
    one, two = stage.d.turns(stage.now)
    assert (one.answered, one.ttfa_s) == (False, None)
    assert one.waited_s == pytest.approx(12.25)
    assert two.answered
    assert two.ttfa_s == pytest.approx(0.75)
    assert "late_reply" in stage.kinds()
    assert stage.d.silent


def test_a_voice_before_t0_is_a_cut_in_and_never_a_ttfa() -> None:
    stage = Stage(texts=("one?",))
    stage.voice(0.5, 1.0)  # asked 1.75, T0 2.75
    stage.voice(2.5, 4.0)  # it talks over the end of the question, and on: that was its reply
    stage.at(20)
    (turn,) = stage.d.turns(stage.now)
    assert (turn.cut_in, turn.ttfa_s, turn.answered) == (True, None, True)
    assert turn.reply_end_s == pytest.approx(4.0)
    assert not stage.d.silent
    assert stage.actions[-1][1] == HangUp("done")


def test_an_interrupted_agent_that_replies_afterwards_has_answered_without_a_ttfa() -> None:
    stage = Stage(texts=("one?",))
    stage.voice(0.5, 1.0)
    stage.voice(2.0, 2.4)  # stops when it hears the caller
    stage.voice(3.5, 4.0)
    stage.at(20)
    (turn,) = stage.d.turns(stage.now)
    assert (turn.cut_in, turn.ttfa_s, turn.answered) == (True, None, True)


def test_an_interrupted_agent_that_says_no_more_leaves_the_turn_unanswered() -> None:
    stage = Stage(texts=("one?",))
    stage.voice(0.5, 1.0)
    stage.voice(2.0, 2.4)
    stage.at(100)
    (turn,) = stage.d.turns(stage.now)
    assert (turn.cut_in, turn.ttfa_s, turn.answered, stage.d.silent) == (True, None, False, True)


def test_a_voice_between_the_decision_and_the_question_is_a_cut_in() -> None:
    stage = Stage(texts=("one?",))
    stage.voice(0.5, 1.0)
    assert stage.d.tick(JOINED + 1.65) == Ask(0)
    stage.d.voice_began("a", JOINED + 1.6)
    stage.d.asked(JOINED + 1.8, JOINED + 2.8)
    stage.d.voice_ended("a", JOINED + 2.0)
    (turn,) = stage.d.turns(JOINED + 3.0)
    assert (turn.cut_in, turn.answered) == (True, False)


def test_an_endless_monologue_is_asked_over() -> None:
    stage = Stage(texts=("one?",), behavior=CallerBehavior(max_listen_s=5.0))
    stage.at(0.6).voice_began("a", JOINED + 0.5)
    stage.at(6.0)
    assert stage.acted() == [(5.5, Ask(0))]
    stage.at(30).voice_ended("a", JOINED + 29.8)
    stage.at(40)
    (turn,) = stage.d.turns(stage.now)
    assert (turn.cut_in, turn.answered, turn.ttfa_s) == (True, True, None)


@pytest.mark.parametrize("noticed", [8.5, 9.5], ids=["before it is heard", "after its first sound"])
def test_an_apology_is_no_answer_and_the_call_goes_on(noticed: float) -> None:
    stage = Stage()
    stage.voice(0.5, 2.0)  # one is asked at 2.65, T0 3.75
    for at, what in sorted([(noticed, "notice"), (9.06, "voice")]):
        if what == "notice":
            stage.at(at).apology_announced("unanswered", JOINED + at)
        else:
            stage.at(at).voice_began("a", JOINED + 9.0)
    stage.at(11.2).voice_ended("a", JOINED + 11.0)  # two is asked at 11.65, T0 12.75
    stage.voice(13.5, 14.0)
    stage.at(40)
    one, two = stage.d.turns(stage.now)
    assert (one.answered, one.apology, one.ttfa_s) == (False, True, None)
    assert one.waited_s == pytest.approx(5.25), "what the caller waited to hear it"
    assert (two.answered, two.apology) == (True, False)
    assert two.ttfa_s == pytest.approx(0.75)
    assert (stage.d.silent, stage.d.answered) == (False, True)
    assert stage.kinds().count("apology") == 1


def test_half_an_answer_and_an_apology_is_no_answer() -> None:
    stage = Stage(texts=("one?",))
    stage.voice(0.5, 1.0)  # T0 2.75
    stage.voice(3.5, 7.0)
    stage.at(7.3).apology_announced("cut_short", JOINED + 7.3)
    stage.voice(7.4, 9.0)
    stage.at(40)
    (turn,) = stage.d.turns(stage.now)
    assert (turn.answered, turn.apology, stage.d.answered) == (False, True, False)


def test_an_apology_for_something_else_takes_no_answer_away() -> None:
    stage = Stage(texts=("one?",))
    stage.voice(0.5, 1.0)
    stage.voice(3.5, 7.0)
    stage.at(7.3).apology_announced("connection_lost", JOINED + 7.3)
    stage.voice(7.4, 9.0)
    stage.at(40)
    (turn,) = stage.d.turns(stage.now)
    assert (turn.answered, turn.apology) == (True, False)


def test_an_apology_is_no_greeting() -> None:
    stage = Stage(texts=())
    stage.at(5.0).apology_announced("greeting", JOINED + 5.0)
    stage.voice(5.2, 8.0)
    stage.at(20)
    assert (stage.d.first_voice_s, stage.d.greeting_apology, stage.d.answered) == (JOINED + 5.2, True, False)


def test_an_agent_gone_for_more_than_ten_seconds_is_a_cut() -> None:
    stage = Stage()
    stage.at(0.0).agent_joined("a", JOINED)
    stage.voice(0.5, 1.0)
    stage.at(2.0).agent_left("a", JOINED + 2.0)
    stage.at(11.9)
    assert not stage.d.cut
    stage.at(12.1)
    assert stage.d.cut
    assert ("cut", JOINED + 12.0) in stage.notes


def test_another_agent_in_time_saves_the_call() -> None:
    stage = Stage(texts=("one?",))
    stage.at(0.0).agent_joined("a", JOINED)
    stage.voice(0.5, 1.0)
    stage.at(2.0).agent_left("a", JOINED + 2.0)
    stage.at(4.0).agent_joined("b", JOINED + 4.0)
    stage.voice(5.0, 6.0, who="b")
    stage.at(20)
    assert (stage.d.cut, stage.d.silent) == (False, False)
    assert stage.actions[-1][1] == HangUp("done")


def test_an_agent_that_comes_back_too_late_does_not_undo_the_cut() -> None:
    stage = Stage()
    stage.d.agent_joined("a", JOINED)
    stage.d.agent_left("a", JOINED + 1.0)
    stage.d.agent_joined("b", JOINED + 12.0)  # no tick in between
    assert stage.d.cut


def test_one_agent_of_two_leaving_is_no_absence() -> None:
    stage = Stage()
    stage.d.agent_joined("a", JOINED)
    stage.d.agent_joined("b", JOINED + 1.0)
    stage.d.agent_left("a", JOINED + 2.0)
    stage.at(30)
    assert not stage.d.cut


def test_the_room_closing_on_the_caller_is_a_cut_after_its_own_hang_up_it_is_not() -> None:
    stage = Stage()
    stage.voice(0.5, 1.0)
    stage.at(5.0).disconnected(JOINED + 5.0)
    assert stage.d.tick(JOINED + 5.0) == HangUp("disconnected")
    assert stage.d.cut
    ours = Stage()
    ours.voice(0.5, 1.0)
    ours.d.hung_up(JOINED + 5.0)
    ours.d.disconnected(JOINED + 5.1)
    assert not ours.d.cut


def test_a_question_that_was_not_finished_was_not_asked() -> None:
    stage = Stage()
    stage.voice(0.5, 1.0)
    stage.at(2.0).disconnected(JOINED + 2.0)
    assert stage.d.turns(JOINED + 2.0) == ()


def test_two_agents_at_once_are_counted_and_one_after_the_other_are_not() -> None:
    stage = Stage(texts=())
    stage.voice(0.5, 2.0, who="a")
    stage.d.voice_began("a", JOINED + 2.2)
    stage.d.voice_began("b", JOINED + 2.3)
    stage.d.voice_ended("a", JOINED + 3.0)
    stage.d.voice_ended("b", JOINED + 3.5)
    assert stage.d.double_speech() == 1
    after = Stage(texts=())
    after.voice(0.5, 2.0, who="a")
    after.voice(2.1, 3.0, who="b")
    assert after.d.double_speech() == 0


def test_a_caller_without_questions_hangs_up_after_the_greeting() -> None:
    stage = Stage(texts=())
    stage.voice(0.5, 1.5)
    stage.at(10)
    assert stage.acted() == [(2.15, HangUp("done"))]


def test_patience_shorter_than_the_time_out_is_refused() -> None:
    with pytest.raises(ConfigError, match="patience_s"):
        CallerBehavior(turn_timeout_s=10.0, patience_s=5.0)
