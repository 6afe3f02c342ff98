"""Events of a call's timeline, on calls drawn by hand: tau-voice's definitions, and where ours differ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from voicefleet.scoring.turn_taking import ignores, turns, yields
from voicefleet.tasks.record import CallerSpeech, SaidText, SpeechKind, TaskRecord

pytestmark = pytest.mark.unit

TURN = CallerSpeech(SpeechKind.TURN, "A table for two, please.", 3.0, 5.0, pauses=((3.8, 4.6),))
GREETING = (0.5, 2.0)


def call(agent: tuple[tuple[float, float], ...], *caller: CallerSpeech, duration_s: float = 20.0) -> TaskRecord:
    return TaskRecord("t", "book", "tuning", "c", 1, agent=(GREETING, *agent), caller=caller, duration_s=duration_s)


def test_an_answer_is_timed_from_the_end_of_the_turn() -> None:
    (event,) = turns(call(((5.6, 7.0),), TURN))
    assert event.response_s == pytest.approx(0.6)
    assert event.cut_ins == ()


def test_an_agent_that_speaks_into_a_pause_cut_in_and_its_answer_after_the_turn_still_counts() -> None:
    (event,) = turns(call(((4.1, 4.9), (5.8, 7.0)), TURN))
    assert event.cut_ins == (4.1,)
    assert event.response_s == pytest.approx(0.8)


def test_an_agent_that_speaks_on_when_the_turn_ends_has_no_time_of_answer() -> None:
    (event,) = turns(call(((4.1, 7.0),), TURN))
    assert event.cut_ins == (4.1,)
    assert event.spoken_through
    assert event.response_s is None
    assert not event.unanswered


def test_a_turn_that_had_to_be_said_again_was_not_answered() -> None:
    again = replace(TURN, from_s=11.0, to_s=13.0, pauses=(), repeat=1)
    first, second = turns(call(((13.5, 15.0),), TURN, again))
    assert first.unanswered
    assert second.response_s == pytest.approx(0.5)


@pytest.mark.parametrize(("duration_s", "unanswered"), [(5.5, False), (12.0, True)])
def test_the_last_turn_is_unanswered_only_when_the_caller_waited(duration_s: float, unanswered: bool) -> None:
    (event,) = turns(call((), TURN, duration_s=duration_s))
    assert event.unanswered is unanswered


@pytest.mark.parametrize(("silent_at_s", "latency_s"), [(6.4, 0.4), (8.0, 2.0), (8.1, None)])
def test_an_agent_yields_within_two_seconds(silent_at_s: float, latency_s: float | None) -> None:
    barge_in = CallerSpeech(SpeechKind.BARGE_IN, "Wait, for three.", 6.0, 9.0)
    (event,) = yields(call(((5.6, silent_at_s),), TURN, barge_in))
    assert event.latency_s == (None if latency_s is None else pytest.approx(latency_s))


def test_a_next_sentence_over_somebody_who_interrupts_is_not_yielding_and_no_cut_in() -> None:
    barge_in = CallerSpeech(SpeechKind.BARGE_IN, "Wait, for three people please.", 6.0, 9.0)
    events = turns(call(((5.6, 6.4), (6.7, 7.5), (8.5, 9.5)), barge_in))
    assert [event.cut_ins for event in events] == [(8.5,)]


@pytest.mark.parametrize("kind", [SpeechKind.COUGH, SpeechKind.BACKCHANNEL, SpeechKind.SIDE_TALK])
@pytest.mark.parametrize(("silent_at_s", "right"), [(6.9, False), (7.1, True)])
def test_an_agent_that_stops_within_a_second_stopped_for_the_sound(
    kind: SpeechKind, silent_at_s: float, right: bool
) -> None:
    (event,) = ignores(call(((5.6, silent_at_s),), TURN, CallerSpeech(kind, "", 6.0, 6.3)))
    assert (event.kind, event.right) == (kind, right)


def test_a_reply_that_ended_by_itself_just_after_a_cough_is_not_judged() -> None:
    record = call(((5.6, 6.9),), TURN, CallerSpeech(SpeechKind.COUGH, "", 6.0, 6.3))
    said = (SaidText("Hello.", 2.1), SaidText("Booked.", 7.0))
    assert ignores(replace(record, said=said)) == ()
    stopped = (said[0], replace(said[1], interrupted=True))
    assert [event.right for event in ignores(replace(record, said=stopped))] == [False]
    # It paused for the cough, then went on with the same reply.
    resumed = replace(record, agent=(*record.agent, (7.6, 8.4)), said=(said[0], replace(said[1], at_s=8.5)))
    assert [event.right for event in ignores(resumed)] == [False]


@pytest.mark.parametrize(("speaks_at_s", "right"), [(11.0, False), (12.4, True)])
def test_a_silent_agent_keeps_silent_after_side_talk(speaks_at_s: float, right: bool) -> None:
    aside = CallerSpeech(SpeechKind.SIDE_TALK, "Put it over there.", 9.0, 10.3)
    (event,) = ignores(call(((5.6, 7.0), (speaks_at_s, 13.0)), TURN, aside))
    assert event.right is right


def test_a_sound_that_falls_into_the_wait_for_an_answer_is_not_judged() -> None:
    cough = CallerSpeech(SpeechKind.COUGH, "", 5.2, 5.5)
    assert ignores(call(((6.0, 7.0),), TURN, cough)) == ()
