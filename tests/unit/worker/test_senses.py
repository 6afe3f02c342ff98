"""Deafness and muteness of an agent, decided from levels, readings and times alone."""

from __future__ import annotations

import pytest

from voicefleet.worker.dead_air.deafness import (
    FORGOTTEN_S,
    REACTS_BY_WORDS_S,
    STUCK_S,
    WORDLESS_TURNS,
    DeafnessDetector,
    Suspicion,
)
from voicefleet.worker.dead_air.muteness import MutenessDetector, TrackReading

pytestmark = pytest.mark.unit

FRAME_S = 0.05
QUIET, VOICE = -70.0, -20.0


class Call:
    """Frames at their pace; `speech_s` and `quiet_s` are what our own detector makes of it."""

    def __init__(self, deafness: DeafnessDetector) -> None:
        self.deafness = deafness
        self.now = 100.0
        self.asked: list[Suspicion] = []

    def sound(self, seconds: float, level_dbfs: float, speech_s: float = 2.0, quiet_s: float = 0.0) -> float | None:
        """When deafness was found, if it was."""
        for _ in range(round(seconds / FRAME_S)):
            self.now += FRAME_S
            self.deafness.frame(self.now, level_dbfs, FRAME_S)
            if (suspicion := self.deafness.suspicion(self.now)) is not None:
                self.asked.append(suspicion)
                if suspicion is Suspicion.STUCK:
                    self.deafness.judged_stuck(self.now, quiet_s)
                else:
                    self.deafness.judged_unheard(self.now, speech_s)
            if self.deafness.deaf_since_s is not None:
                return self.now
        return None

    def turn(self, seconds: float) -> None:
        """A turn that the session hears."""
        self.deafness.caller_speaks(self.now, True)
        assert self.sound(seconds, VOICE) is None
        self.deafness.caller_speaks(self.now, False)
        assert self.sound(1.0, QUIET) is None


@pytest.fixture
def call() -> Call:
    call = Call(DeafnessDetector())
    assert call.sound(1.0, QUIET) is None
    return call


def test_a_session_that_stops_to_hear_is_found_within_six_seconds_of_the_first_words(call: Call) -> None:
    call.turn(2.0)
    began = call.now
    found = call.sound(1.5, VOICE) or call.sound(6.0, QUIET)
    assert found is not None
    assert found - began < 6.0
    assert call.deafness.deaf_since_s == pytest.approx(began, abs=0.1)


def test_words_in_several_goes_count_together(call: Call) -> None:
    call.turn(2.0)
    began = call.now
    for _ in range(3):
        found = call.sound(0.5, VOICE) or call.sound(1.0, QUIET)
    assert found is not None
    assert found - began < 6.0


def test_a_short_question_is_enough_for_a_session_with_a_voice_detector(call: Call) -> None:
    call.turn(2.0)
    began = call.now
    found = call.sound(0.6, VOICE, speech_s=0.5) or call.sound(6.0, QUIET, speech_s=0.5)
    assert found is not None
    assert 2.5 < found - began < 4.0, "later than a long one: there is time to hear it"


def test_a_short_noise_and_a_short_word_for_a_recogniser_alone_are_none(call: Call) -> None:
    call.turn(2.0)
    assert call.sound(0.6, VOICE, speech_s=0.2) is None
    assert call.sound(9.0, QUIET, speech_s=0.2) is None
    assert call.asked == [Suspicion.UNHEARD]
    call.deafness.by_voice = False
    assert call.sound(0.6, VOICE, speech_s=0.5) is None
    assert call.sound(9.0, QUIET, speech_s=0.5) is None
    assert call.asked == [Suspicion.UNHEARD]


def test_deafness_that_begins_in_the_middle_of_a_question(call: Call) -> None:
    call.turn(2.0)
    call.deafness.caller_speaks(call.now, True)
    assert call.sound(2.0, VOICE) is None
    ended = call.now
    assert call.sound(2.9, QUIET, quiet_s=2.9) is None
    found = call.sound(3.0, QUIET, quiet_s=STUCK_S)
    assert found is not None
    assert found - ended < 5.0, "a caller waits for ten seconds"


def test_a_cough_is_no_evidence_and_is_forgotten(call: Call) -> None:
    call.turn(2.0)
    for _ in range(20):
        assert call.sound(0.4, VOICE) is None
        assert call.sound(FORGOTTEN_S + 1.0, QUIET) is None
    assert call.asked == []


def test_what_our_own_detector_takes_for_noise_is_never_deafness_and_is_judged_ever_less(call: Call) -> None:
    call.turn(2.0)
    for _ in range(120):  # Five minutes of music in beats.
        assert call.sound(1.5, VOICE, speech_s=0.0) is None
        assert call.sound(1.0, QUIET, speech_s=0.0) is None
    assert 3 < len(call.asked) < 40


def test_a_fan_becomes_part_of_the_room(call: Call) -> None:
    call.turn(2.0)
    assert call.sound(30.0, -40.0, speech_s=0.0) is None
    before = len(call.asked)
    assert call.sound(60.0, -40.0, speech_s=0.0) is None
    assert len(call.asked) == before


def test_without_a_voice_detector_a_caller_never_heard_yet_needs_more_evidence(call: Call) -> None:
    call.deafness.by_voice = False
    assert call.sound(1.5, VOICE) is None
    assert call.sound(5.0, QUIET) is None
    assert call.sound(1.5, VOICE) is not None
    assert REACTS_BY_WORDS_S < 6.0


def test_an_answering_session_is_never_suspected(call: Call) -> None:
    for _ in range(50):
        call.turn(3.0)
    assert call.asked == []


def test_a_turn_that_never_ends_is_found_and_a_monologue_is_left_alone(call: Call) -> None:
    call.turn(1.0)
    call.deafness.caller_speaks(call.now, True)
    assert call.sound(60.0, VOICE, quiet_s=0.4) is None, "a monologue"
    assert Suspicion.STUCK in call.asked
    began = call.now
    assert call.sound(STUCK_S, QUIET, quiet_s=1.0) is None
    assert call.sound(3.0, VOICE, quiet_s=STUCK_S) is None, "a crowd"
    began = call.now
    assert call.sound(STUCK_S, QUIET, quiet_s=1.0) is None
    found = call.sound(3.0, QUIET, quiet_s=STUCK_S)
    assert found is not None
    assert found - began < 6.0


def test_a_model_that_goes_by_the_meaning_may_wait_for_the_rest_of_a_sentence(call: Call) -> None:
    call.deafness.by_voice = False
    call.deafness.caller_speaks(call.now, True)
    assert call.sound(20.0, QUIET, quiet_s=9.0) is None


def test_a_television_behind_the_caller_is_no_evidence(call: Call) -> None:
    call.turn(5.0)
    assert call.sound(60.0, VOICE - 16.0) is None
    assert call.asked == []
    assert call.sound(1.0, QUIET) is None
    assert call.sound(4.0, VOICE - 10.0) is not None


def test_turns_without_a_word_count_unless_the_recogniser_lives(call: Call) -> None:
    for _ in range(5):
        call.deafness.unheard_turn(call.now)
        call.deafness.recogniser_lives()
    assert call.deafness.deaf_since_s is None
    for n in range(WORDLESS_TURNS):
        assert call.deafness.deaf_since_s is None, "each is apologised for, and opens its stream anew"
        call.deafness.unheard_turn(call.now + 9.0 * n)
        call.deafness.caller_speaks(call.now + 9.0 * n + 3.0, True)
    assert call.deafness.deaf_since_s == call.now


def test_a_session_that_is_not_to_listen_is_not_judged(call: Call) -> None:
    call.turn(2.0)
    for _ in range(10):
        call.sound(0.8, VOICE)
        call.deafness.not_listening(call.now)
    assert call.asked == []


def test_a_reaction_ends_the_deafness(call: Call) -> None:
    call.turn(2.0)
    assert call.sound(4.0, VOICE) is not None
    call.deafness.reacted(call.now)
    assert call.deafness.deaf_since_s is None


# MutenessDetector


def _read(muteness: MutenessDetector, seconds: int, *, energy: float, packets: int, now: float = 100.0) -> float | None:
    """Readings once a second; when muteness was found."""
    total_energy, total = 0.0, 0
    muteness.reading(now, TrackReading(0.0, 0))
    for n in range(1, seconds + 1):
        total_energy, total = total_energy + energy, total + packets
        muteness.reading(now + n, TrackReading(total_energy, total))
        if muteness.mute_since_s is not None:
            return now + n
    return None


@pytest.mark.parametrize(
    ("energy", "packets"), [(0.0, 50), (0.0, 5), (0.05, 0), (0.05, 5)], ids=["zeros", "dtx", "no packets", "muted"]
)
def test_an_agent_whose_track_carries_nothing_is_found_within_six_seconds(energy: float, packets: int) -> None:
    muteness = MutenessDetector()
    muteness.speaks(100.0, True)
    found = _read(muteness, 10, energy=energy, packets=packets)
    assert found is not None
    assert found <= 104.0
    assert muteness.mute_since_s == pytest.approx(100.0, abs=1.0)


def test_an_agent_whose_reply_pauses_is_given_as_long_as_a_slow_llm() -> None:
    muteness = MutenessDetector()
    muteness.speaks(100.0, True)
    for n in range(6):
        muteness.reading(100.0 + n, TrackReading(1.0, 5 * n, waits=False))
        assert muteness.mute_since_s is None
    muteness.reading(106.0, TrackReading(1.0, 30, waits=False))
    assert muteness.mute_since_s == pytest.approx(100.0, abs=1.0)


def test_an_agent_that_is_heard_or_silent_is_not_mute() -> None:
    muteness = MutenessDetector()
    muteness.speaks(100.0, True)
    assert _read(muteness, 60, energy=1e-5, packets=50) is None
    muteness.speaks(160.0, False)
    assert _read(muteness, 60, energy=0.0, packets=5, now=160.0) is None


def test_short_replies_that_nobody_hears_add_up() -> None:
    muteness, now = MutenessDetector(), 100.0
    muteness.reading(now, TrackReading(1.0, 100))
    for _ in range(4):
        muteness.speaks(now + 0.3, True)
        for n in (1, 2):
            muteness.reading(now + n, TrackReading(1.0, 100))
        muteness.speaks(now + 2.1, False)
        now += 5
        muteness.reading(now, TrackReading(1.0, 100))
    assert muteness.mute_since_s == pytest.approx(100.3)


def test_one_word_answers_after_long_silences_are_no_muteness() -> None:
    muteness, packets, energy = MutenessDetector(), 0, 0.0
    for n in range(30):
        now = 100.0 + 20 * n
        muteness.speaks(now, True)
        muteness.speaks(now + 0.4, False)
        packets, energy = packets + 19 * 4 + 20, energy + 0.01
        muteness.reading(now + 0.5, TrackReading(energy, packets))
        packets += 5
        muteness.reading(now + 1.5, TrackReading(energy, packets))
        assert muteness.mute_since_s is None


def test_one_second_that_is_heard_clears_it_and_so_does_our_own_silence() -> None:
    muteness = MutenessDetector()
    muteness.speaks(100.0, True)
    assert _read(muteness, 2, energy=0.0, packets=0) is None
    muteness.reading(103.0, TrackReading(1.0, 500))
    muteness.reading(105.0, TrackReading(1.0, 500))
    assert muteness.mute_since_s is None
    muteness.silenced()
    muteness.reading(106.5, TrackReading(1.0, 500))
    assert muteness.mute_since_s is None


def test_an_agent_without_a_track_of_its_own_is_not_judged() -> None:
    muteness = MutenessDetector()
    muteness.speaks(100.0, True)
    for n in range(20):
        muteness.reading(100.0 + n, None)
    assert muteness.mute_since_s is None
