"""When the caller must hear something: the state machine, in made-up time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.worker.dead_air.detector import (
    CUT_GRACE_S,
    FAILED_GRACE_S,
    NO_INPUTS,
    RECONNECT_GRACE_S,
    DeadAirDetector,
    Reason,
)

pytestmark = pytest.mark.unit

AFTER_S, MIN_SPEECH_S, NO_INPUT_S = 5.0, 0.7, 8.0


@pytest.fixture
def detector() -> DeadAirDetector:
    return DeadAirDetector(after_s=AFTER_S, min_speech_s=MIN_SPEECH_S, no_input_s=NO_INPUT_S)


def says(detector: DeadAirDetector, end_s: float, length_s: float = 1.5) -> None:
    detector.caller_started(end_s - length_s)
    detector.caller_stopped(end_s, length_s)


def fires(detector: DeadAirDetector, at_s: float) -> Reason | None:
    """Whether the next reason to speak falls due at `at_s` exactly, and which it is."""
    assert detector.due_s() == pytest.approx(at_s)
    assert detector.check(at_s - 0.01) is None
    return detector.check(at_s)


def test_speech_of_which_nothing_came(detector: DeadAirDetector) -> None:
    says(detector, 10.0)
    assert fires(detector, 15.0) is Reason.UNHEARD
    assert detector.due_s() is None, "one apology a turn"
    assert detector.check(100.0) is None


def test_a_turn_without_an_answer(detector: DeadAirDetector) -> None:
    says(detector, 10.0)
    detector.understood(10.3)
    assert fires(detector, 15.0) is Reason.UNANSWERED


def test_an_answer_in_time_ends_it(detector: DeadAirDetector) -> None:
    says(detector, 10.0)
    detector.understood(10.3)
    detector.agent_started()
    assert detector.due_s() is None
    detector.agent_stopped(14.0)
    assert detector.due_s() is None


def test_each_failing_turn_has_its_own(detector: DeadAirDetector) -> None:
    for start in (10.0, 30.0, 50.0):
        says(detector, start)
        assert fires(detector, start + AFTER_S) is Reason.UNHEARD
        detector.agent_started()
        detector.agent_stopped(start + 8)
        assert detector.due_s() is None


def test_even_when_the_apology_itself_was_not_heard(detector: DeadAirDetector) -> None:
    says(detector, 10.0)
    assert fires(detector, 15.0) is Reason.UNHEARD
    says(detector, 20.0)
    assert fires(detector, 25.0) is Reason.UNHEARD


def test_a_cough_is_no_turn(detector: DeadAirDetector) -> None:
    says(detector, 10.0, length_s=0.4)
    assert detector.due_s() is None


def test_a_short_yes_is_one_when_it_was_understood(detector: DeadAirDetector) -> None:
    says(detector, 10.0, length_s=0.4)
    detector.understood(10.2)
    assert fires(detector, 15.0) is Reason.UNANSWERED


@pytest.mark.parametrize("final", [True, False])
def test_or_when_the_recogniser_is_in_trouble(detector: DeadAirDetector, final: bool) -> None:
    says(detector, 10.0, length_s=0.4)
    detector.failed(12.0, speaking_stage=False, final=final)
    assert fires(detector, 12.0 + FAILED_GRACE_S if final else 15.0) is Reason.UNHEARD


def test_not_while_the_caller_goes_on(detector: DeadAirDetector) -> None:
    says(detector, 10.0)
    detector.caller_started(10.8)
    assert detector.due_s() is None
    detector.caller_stopped(20.0, 9.2)
    assert detector.due_s() == 25.0, "a pause for breath: the wait begins with the end of the whole"


def test_who_asks_again_does_not_wait_all_over(detector: DeadAirDetector) -> None:
    says(detector, 10.0)
    says(detector, 14.0, length_s=0.9)  # "Hello?"
    assert fires(detector, 14.0 + AFTER_S / 2) is Reason.UNHEARD


def test_short_pieces_add_up(detector: DeadAirDetector) -> None:
    says(detector, 10.0, length_s=0.4)
    says(detector, 11.0, length_s=0.4)
    assert fires(detector, 16.0) is Reason.UNHEARD


def test_coughs_now_and_then_do_not(detector: DeadAirDetector) -> None:
    for end_s in (10.0, 13.0, 60.0):
        says(detector, end_s, length_s=0.4)
        assert detector.due_s() is None
    says(detector, 63.0)
    assert detector.due_s() == 68.0, "nobody was waiting since the cough"


def test_words_spoken_into_the_agents_voice_wait_for_nothing(detector: DeadAirDetector) -> None:
    detector.agent_started()
    says(detector, 10.0)
    assert detector.due_s() is None
    detector.agent_stopped(12.0)
    assert detector.due_s() is None


def test_a_barge_in_waits_for_its_answer(detector: DeadAirDetector) -> None:
    detector.agent_started()
    detector.caller_started(10.0)
    detector.agent_stopped(10.5)
    detector.caller_stopped(12.0, 2.0)
    assert fires(detector, 17.0) is Reason.UNHEARD


def test_a_turn_taken_after_an_interruption_without_a_new_end_of_speech(detector: DeadAirDetector) -> None:
    detector.agent_started()
    says(detector, 10.0)
    detector.agent_stopped(10.1)
    detector.understood(10.2)
    assert fires(detector, 15.2) is Reason.UNANSWERED


def test_words_understood_before_the_end_of_speech(detector: DeadAirDetector) -> None:
    detector.caller_started(9.7)
    detector.understood(9.9)
    detector.caller_stopped(10.0, 0.3)
    assert fires(detector, 15.0) is Reason.UNANSWERED


def test_a_stage_that_gave_up_is_not_waited_for(detector: DeadAirDetector) -> None:
    says(detector, 10.0)
    detector.understood(10.2)
    detector.failed(10.4, speaking_stage=True, final=True)
    assert fires(detector, 10.4 + FAILED_GRACE_S) is Reason.UNANSWERED


def test_but_one_that_tries_again_is(detector: DeadAirDetector) -> None:
    says(detector, 10.0)
    detector.understood(10.2)
    detector.failed(10.4, speaking_stage=True, final=False)
    assert detector.due_s() == 15.0
    detector.failed(10.6, speaking_stage=True, final=True)
    detector.reply_attempted()
    assert detector.due_s() == 15.0


def test_the_recogniser_can_fail_before_the_voice_detector_saw_the_end(detector: DeadAirDetector) -> None:
    detector.caller_started(8.5)
    detector.failed(9.9, speaking_stage=False, final=True)
    detector.caller_stopped(10.0, 1.5)
    assert detector.due_s() == 10.0 + FAILED_GRACE_S
    detector.understood(10.5)
    assert detector.due_s() == 15.0, "its words came after all"


def test_a_failure_is_forgotten_with_the_words_it_befell(detector: DeadAirDetector) -> None:
    detector.failed(5.0, speaking_stage=False, final=True)
    says(detector, 10.0)
    detector.failed(10.2, speaking_stage=False, final=True)
    says(detector, 12.0, length_s=1.0)
    assert detector.due_s() == pytest.approx(17.0)


@pytest.mark.parametrize("before_its_first_word", [True, False])
def test_a_reply_cut_short(detector: DeadAirDetector, before_its_first_word: bool) -> None:
    says(detector, 10.0)
    detector.understood(10.2)
    if before_its_first_word:
        detector.failed(10.4, speaking_stage=True, final=True)
    detector.agent_started()
    if not before_its_first_word:
        detector.failed(10.4, speaking_stage=True, final=True)
    assert detector.due_s() is None, "not over its own words"
    detector.agent_stopped(11.0)
    assert fires(detector, 11.0 + CUT_GRACE_S) is Reason.CUT_SHORT


def test_a_caller_who_goes_on_after_a_cut_gets_an_answer_and_no_apology(detector: DeadAirDetector) -> None:
    detector.agent_started()
    detector.failed(10.4, speaking_stage=True, final=True)
    detector.agent_stopped(11.0)
    says(detector, 12.5, length_s=1.4)
    assert detector.due_s() == 17.5


def test_what_the_apology_replaced_does_not_cut_the_apology_short(detector: DeadAirDetector) -> None:
    says(detector, 10.0)
    assert fires(detector, 15.0) is Reason.UNHEARD
    detector.agent_started()
    detector.failed(15.5, speaking_stage=True, final=True)
    detector.agent_stopped(18.0)
    assert detector.due_s() is None


def test_a_greeting_that_does_not_come(detector: DeadAirDetector) -> None:
    detector.greeting_due(1.0)
    assert fires(detector, 6.0) is Reason.GREETING


def test_a_greeting_is_due_once(detector: DeadAirDetector) -> None:
    detector.greeting_due(1.0)
    detector.agent_started()
    detector.agent_stopped(3.0)
    detector.greeting_due(4.0)
    assert fires(detector, 3.0 + NO_INPUT_S) is Reason.NO_INPUT, "what the agent says of itself later, nobody waits for"


def test_a_question_asked_before_the_greeting(detector: DeadAirDetector) -> None:
    detector.greeting_due(1.0)
    says(detector, 4.0)
    assert fires(detector, 6.5) is Reason.UNHEARD


def test_a_tool_that_takes_long_is_not_interrupted(detector: DeadAirDetector) -> None:
    says(detector, 10.0)
    detector.understood(10.2)
    detector.tool_started("book")
    assert detector.due_s() == 15.0
    reason = detector.check(15.0)
    assert reason is not None
    assert reason is Reason.WORKING
    assert not reason.interrupts
    detector.agent_started()
    detector.agent_stopped(16.0)
    detector.tool_ended("book")
    detector.tools_done(30.0, reply_follows=True)
    assert fires(detector, 35.0) is Reason.UNANSWERED


def test_a_tool_without_a_reply_leaves_nothing_to_wait_for(detector: DeadAirDetector) -> None:
    says(detector, 10.0)
    detector.understood(10.2)
    detector.tool_started("note")
    detector.tool_ended("note")
    detector.tools_done(11.0, reply_follows=False)
    assert detector.due_s() is None


def test_the_reply_to_a_tool_is_owed_after_what_was_said_meanwhile(detector: DeadAirDetector) -> None:
    says(detector, 10.0)
    detector.understood(10.2)
    detector.tool_started("look")
    detector.agent_started()
    detector.tool_ended("look")
    detector.tools_done(11.0, reply_follows=True)
    detector.agent_stopped(12.0)
    assert fires(detector, 17.0) is Reason.UNANSWERED


def test_a_question_lost_with_the_line_is_asked_for(detector: DeadAirDetector) -> None:
    says(detector, 7.0)
    detector.understood(7.2)
    detector.agent_started()
    detector.agent_stopped(9.0)
    detector.reconnected(10.0)
    detector.reconnected(10.1)  # a second track was published anew
    assert fires(detector, 10.0 + RECONNECT_GRACE_S) is Reason.CONNECTION_LOST
    assert detector.due_s() is None
    detector.agent_started()
    detector.agent_stopped(15.0)
    assert detector.due_s() is None


def greets(detector: DeadAirDetector, end_s: float) -> None:
    detector.greeting_due(end_s - 2.0)
    detector.agent_started()
    detector.agent_stopped(end_s)


def test_a_caller_who_may_not_have_heard_the_greeting_is_spoken_to_again(detector: DeadAirDetector) -> None:
    greets(detector, 10.0)
    at_s = 10.0
    for _ in range(NO_INPUTS):
        assert fires(detector, at_s + NO_INPUT_S) is Reason.NO_INPUT
        detector.agent_started()
        detector.agent_stopped(at_s := at_s + NO_INPUT_S + 2.0)
    assert detector.due_s() is None, "nobody is there"
    assert detector.check(1000.0) is None


def test_a_cough_is_no_word_of_the_callers(detector: DeadAirDetector) -> None:
    greets(detector, 10.0)
    says(detector, 14.0, 0.3)
    assert fires(detector, 14.0 + NO_INPUT_S) is Reason.NO_INPUT


def test_who_was_heard_once_may_take_all_the_time_to_think(detector: DeadAirDetector) -> None:
    greets(detector, 10.0)
    says(detector, 13.0)
    detector.understood(13.2)
    detector.agent_started()
    detector.agent_stopped(16.0)
    assert detector.due_s() is None


def test_an_agent_that_lets_the_caller_speak_first_waits(detector: DeadAirDetector) -> None:
    assert detector.due_s() is None


def test_after_the_line_was_away_a_caller_who_goes_on_is_answered_as_ever(detector: DeadAirDetector) -> None:
    detector.reconnected(10.0)
    says(detector, 12.0)
    detector.understood(12.3)
    assert fires(detector, 17.0) is Reason.UNANSWERED


def test_an_answer_on_its_way_when_the_line_comes_back_is_waited_for(detector: DeadAirDetector) -> None:
    says(detector, 9.0)
    detector.understood(9.2)
    detector.reconnected(10.0)
    assert fires(detector, 14.0) is Reason.UNANSWERED


def test_a_reply_that_the_caller_may_not_have_heard(detector: DeadAirDetector) -> None:
    detector.agent_started()
    detector.reconnected(10.0)
    assert detector.due_s() is None
    detector.agent_stopped(11.0)
    assert fires(detector, 11.0 + RECONNECT_GRACE_S) is Reason.CONNECTION_LOST


def test_a_question_of_which_only_the_end_came_through(detector: DeadAirDetector) -> None:
    detector.caller_started(9.8)
    detector.reconnected(10.0)
    detector.caller_stopped(10.2, 0.4)  # as short as a cough
    assert fires(detector, 15.2) is Reason.UNHEARD


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "caller",
                "caller_end",
                "understood",
                "agent",
                "agent_end",
                "fail",
                "retry",
                "greeting",
                "tool",
                "tool_end",
                "line",
            ]
        ),
        st.floats(0.05, 8.0),
    ),
    max_size=40,
)


@given(STEPS)
def test_nothing_is_due_over_a_voice_and_none_twice(steps: list[tuple[str, float]]) -> None:
    detector = DeadAirDetector(after_s=AFTER_S, min_speech_s=MIN_SPEECH_S, no_input_s=NO_INPUT_S)
    now, caller, agent, apologies, chances = 0.0, False, False, 0, 0
    for what, pause_s in steps:
        if what == "caller" and not caller:
            caller = True
            detector.caller_started(now)
        elif what == "caller_end" and caller:
            caller = False
            chances += 1
            detector.caller_stopped(now, 1.0)
        elif what == "understood":
            chances += 1
            detector.understood(now)
        elif what == "agent" and not agent:
            agent = True
            detector.agent_started()
        elif what == "agent_end" and agent:
            agent = False
            chances += 1
            detector.agent_stopped(now)
        elif what == "fail":
            detector.failed(now, speaking_stage=True, final=True)
        elif what == "retry":
            detector.reply_attempted()
        elif what == "greeting":
            chances += 1
            detector.greeting_due(now)
        elif what == "line":
            chances += 1
            detector.reconnected(now)
        elif what == "tool":
            detector.tool_started("t")
        elif what == "tool_end":
            chances += 1
            detector.tool_ended("t")
            detector.tools_done(now, reply_follows=True)
        now += pause_s
        reason = detector.check(now)
        if reason is not None:
            assert not caller
            assert not agent
            apologies += reason.interrupts
            assert detector.check(now + 1000) is None or not reason.interrupts
    assert apologies <= chances
