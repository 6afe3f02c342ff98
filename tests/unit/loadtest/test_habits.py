"""Callers that hang up, keep quiet, talk over the agent or lose patience: in made-up time, and as they are drawn."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from voicefleet.callers.behavior import Action, Ask, CallerBehavior, HangUp
from voicefleet.callers.caller import CallerSettings
from voicefleet.callers.habits import Habits, HabitualDialogue
from voicefleet.contract.errors import ConfigError
from voicefleet.loadtest.mix import CallerMix, habits_of, spoken_by
from voicefleet.loadtest.scenario import Callers

pytestmark = pytest.mark.unit

JOINED = 100.0


class Stage:
    """Plays a dialogue: `at(t)` lets time pass up to t, asking the questions (1 s long) as they come."""

    def __init__(self, habits: Habits, *texts: str) -> None:
        self.actions: list[tuple[float, Action]] = []
        self.d = HabitualDialogue(texts, JOINED, CallerBehavior(), habits=habits)
        self.now = JOINED

    def at(self, t: float) -> HabitualDialogue:
        end = JOINED + t
        while not (self.actions and isinstance(self.actions[-1][1], HangUp)):
            action = self.d.tick(self.now)
            if action is not None:
                self.actions.append((round(self.now - JOINED, 6), action))
                if isinstance(action, Ask):
                    self.d.asked(self.now, self.now + 1.0)
                continue
            due = self.d.due_s()
            assert due is None or due > self.now, "a due time that is past would spin"
            if due is None or due > end:
                break
            self.now = due
        self.now = max(self.now, end)
        return self.d

    def voice(self, start: float, end: float) -> None:
        self.at(start).voice_began("a", JOINED + start)
        self.at(end).voice_ended("a", JOINED + end)


def test_without_habits_it_is_the_plain_dialogue() -> None:
    stage = Stage(Habits(), "one?")
    stage.voice(1.0, 2.0)
    stage.voice(4.0, 5.0)
    stage.at(9.0)
    assert [type(action) for _, action in stage.actions] == [Ask, HangUp]
    assert stage.d.turns(JOINED + 9)[0].ttfa_s == pytest.approx(4.0 - 3.65)


def test_a_question_over_the_greeting_is_no_cut_in_and_tells_when_the_agent_stopped() -> None:
    stage = Stage(Habits(over_greeting_s=0.5), "one?")
    stage.voice(1.0, 1.8)  # the question begins at 1.5 and ends at 2.5
    stage.voice(3.0, 4.0)
    (turn,) = stage.at(4.0).turns(JOINED + 9)
    assert stage.actions[0] == (1.5, Ask(0))
    assert (turn.barge_in, turn.cut_in, turn.answered) == (True, False, True)
    assert [turn.stop_s, turn.ttfa_s] == pytest.approx([0.3, 0.5])


def test_a_greeting_that_is_over_before_is_not_spoken_over() -> None:
    stage = Stage(Habits(over_greeting_s=2.0), "one?")
    stage.voice(1.0, 2.0)
    stage.at(3.0)
    assert stage.actions == [(2.65, Ask(0))]
    assert not stage.d.turns(JOINED + 9)[0].barge_in


def test_a_barge_in_whose_agent_pauses_and_goes_on_has_not_stopped() -> None:
    stage = Stage(Habits(barge_in_s=1.0, barge_in_turns=frozenset({1})), "one?", "two?")
    stage.voice(1.0, 2.0)  # question one from 2.65 to 3.65
    stage.voice(4.0, 5.3)  # question two from 5.0 to 6.0
    stage.voice(5.5, 5.9)  # a pause, no more
    stage.voice(6.5, 7.0)
    first, second = stage.at(7.0).turns(JOINED + 9)
    assert (first.barge_in, first.cut_in, first.stop_s) == (False, False, None)
    assert (second.barge_in, second.cut_in, second.answered) == (True, False, True)
    assert [second.stop_s, second.ttfa_s] == pytest.approx([0.9, 0.5])


def test_an_agent_that_does_not_stop_has_no_stop_time_and_no_answer() -> None:
    stage = Stage(Habits(over_greeting_s=0.5), "one?")
    stage.at(1.0).voice_began("a", JOINED + 1.0)
    (turn,) = stage.at(6.0).turns(JOINED + 6)
    assert (turn.stop_s, turn.answered) == (None, False)


def test_who_hangs_up_leaves_no_unanswered_question_unless_it_waited_long() -> None:
    quick = Stage(Habits(hang_up_s=3.0), "one?")
    quick.voice(1.0, 2.0)  # question one from 2.65 to 3.65
    quick.at(10.0)
    assert quick.actions == [(2.65, Ask(0)), (4.0, HangUp("hangup"))]
    assert (quick.d.turns(JOINED + 4), quick.d.answered, quick.d.silent) == ((), True, False)
    slow = Stage(Habits(hang_up_s=20.0), "one?")
    slow.voice(1.0, 2.0)
    slow.at(30.0)
    assert slow.actions[-1] == (21.0, HangUp("hangup"))
    assert (len(slow.d.turns(JOINED + 21)), slow.d.answered, slow.d.silent) == (1, False, True)


def test_a_quiet_caller_says_nothing_and_notices_when_the_agent_is_gone() -> None:
    stage = Stage(Habits(quiet=True, hang_up_s=30.0))
    stage.d.agent_joined("a", JOINED)
    stage.voice(1.0, 2.0)
    stage.voice(12.0, 13.0)  # are you still there?
    stage.at(15.0).agent_left("a", JOINED + 15)
    stage.at(40.0)
    assert stage.actions == [(31.0, HangUp("hangup"))]
    assert (stage.d.silent, stage.d.cut, stage.d.answered) == (False, True, True)


def test_patience_ends_before_an_agent_was_heard_and_not_after() -> None:
    left = Stage(Habits(abandon_s=4.0), "one?")
    left.at(9.0)
    assert left.actions == [(4.0, HangUp("patience"))]
    served = Stage(Habits(abandon_s=4.0), "one?")
    served.voice(3.0, 5.0)
    served.at(6.0)
    assert served.actions == [(5.65, Ask(0))]


MIX = Callers.model_validate(
    {
        "turns": 3,
        "abandon_mean_s": 8,
        "hang_up": {"share": 0.2, "after_s": 9},
        "silent": {"share": 0.1, "for_s": 15},
        "over_greeting": {"share": 0.25, "after_s": 0.5},
        "barge_in": {"share": 0.3},
    }
)


def test_the_shares_are_those_of_the_scenario() -> None:
    drawn = [habits_of(MIX, 1, call) for call in range(4000)]
    assert np.mean([h.quiet for h in drawn]) == pytest.approx(0.1, abs=0.03)
    assert np.mean([h.hang_up_s == 9 for h in drawn if not h.quiet]) == pytest.approx(0.2, abs=0.03)
    assert np.mean([h.over_greeting_s == 0.5 for h in drawn]) == pytest.approx(0.25, abs=0.03)
    assert np.mean([i in h.barge_in_turns for h in drawn for i in (1, 2)]) == pytest.approx(0.3, abs=0.03)
    assert all(h.hang_up_s == 15 for h in drawn if h.quiet)
    patience = [h.abandon_s for h in drawn if h.abandon_s is not None]
    assert [float(np.mean(patience)), float(np.std(patience))] == pytest.approx([8, 8], rel=0.07)
    assert habits_of(MIX, 1, 7) == habits_of(MIX, 1, 7)
    assert habits_of(Callers(), 1, 7) == Habits()


def test_a_share_that_is_changed_leaves_the_other_callers_as_they_were() -> None:
    more = MIX.model_copy(update={"silent": None})
    before, after = ([habits_of(callers, 1, call).over_greeting_s for call in range(50)] for callers in (MIX, more))
    assert before == after


def test_patience_counts_while_a_full_fleet_is_asked_for_a_place_too() -> None:
    mix = CallerMix(MIX, 1, CallerSettings())
    assert mix.patience_s(0) == pytest.approx(min(habits_of(MIX, 1, 0).abandon_s or 0, 60.0))
    assert CallerMix(Callers(patience_s=33), 1, CallerSettings()).patience_s(0) == 33
    assert all(mix.plan(call).settings.background is None for call in range(3))
    noisy = CallerMix(Callers(noise_snr_db=10), 1, CallerSettings()).plan(0).settings.background
    assert noisy is not None
    assert np.abs(noisy).max() > 0


def test_a_share_of_callers_presses_keys() -> None:
    mix = CallerMix(Callers.model_validate({"dtmf": {"share": 0.5, "digits": "12#"}}), 1, CallerSettings())
    keys = [mix.plan(call).settings.keys for call in range(40)]
    assert set(keys) == {"", "12#"}
    assert 10 < keys.count("12#") < 30


@pytest.mark.parametrize(
    "fields",
    [{"hang_up": {"share": 2, "after_s": 1}}, {"hang_up": {"share": 1}}, {"dtmf": {"digits": "x"}}, {"silent": {}}],
)
def test_habits_that_are_none(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Callers.model_validate(fields)


def record(path: Path, *, rate: int = 48_000, channels: int = 1, loud: bool = True) -> None:
    t = np.arange(rate * channels) / rate / channels
    tone = sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 9)) * (6000 if loud else 0)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.asarray(tone).astype("<i2").tobytes())


def test_a_folder_of_recordings_are_the_questions(tmp_path: Path) -> None:
    for name in ("b.wav", "a.wav"):
        record(tmp_path / name)
    found = spoken_by(Callers(turns=2, recordings=tmp_path))
    assert [question.text for question in found] == ["a.wav", "b.wav"]
    assert all(question.sample_rate == 16_000 and 0.8 < question.duration_s < 1.1 for question in found)
    with pytest.raises(ConfigError, match="2 recordings, and each caller has 3"):
        spoken_by(Callers(turns=3, recordings=tmp_path))


def test_recordings_that_cannot_be_played_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is empty"):
        spoken_by(Callers(recordings=tmp_path))
    with pytest.raises(ConfigError, match="cannot be read"):
        spoken_by(Callers(recordings=tmp_path / "none"))
    for make, says in (
        (lambda path: path.write_bytes(b"ID3\x04mp3"), "cannot be read as WAV"),
        (lambda path: record(path, channels=2), "not mono"),
        (lambda path: record(path, loud=False), "no voice"),
    ):
        make(tmp_path / "odd.mp3")
        with pytest.raises(ConfigError, match=says) as error:
            spoken_by(Callers(turns=1, recordings=tmp_path))
        assert "odd.mp3" in str(error.value)
