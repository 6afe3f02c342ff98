"""When the caller must hear something: the state machine, in made-up time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.worker.dead_air.detector import (
    CUT_GRACE_S,
    FAILED_GRACE_S,
    LINE_GRACE_S,
    NO_INPUTS,
    Reason,
    SilenceWatch,
)

pytestmark = pytest.mark.unit

AFTER_S, MIN_SPEECH_S, NO_INPUT_S = 5.0, 0.7, 8.0


@pytest.fixture
def watch() -> SilenceWatch:
    return SilenceWatch(after_s=AFTER_S, min_speech_s=MIN_SPEECH_S, no_input_s=NO_INPUT_S)


def says(watch: SilenceWatch, end_s: float, length_s: float = 1.5) -> None:
    watch.caller_started(end_s - length_s)
    watch.caller_stopped(end_s, length_s)


def fires(watch: SilenceWatch, at_s: float) -> Reason | None:
    """Whether the next verdict falls due at `at_s` exactly, and which it is."""
    assert watch.due_s() == pytest.approx(at_s)
    assert watch.check(at_s - 0.01) is None
    verdict = watch.check(at_s)
    return verdict.reason if verdict else None


def test_speech_of_which_nothing_came(watch: SilenceWatch) -> None:
    says(watch, 10.0)
    assert fires(watch, 15.0) is Reason.UNHEARD
    assert watch.due_s() is None, "one apology a turn"
    assert watch.check(100.0) is None


def test_a_turn_without_an_answer(watch: SilenceWatch) -> None:
    says(watch, 10.0)
    watch.understood(10.3)
    assert fires(watch, 15.0) is Reason.UNANSWERED


def test_an_answer_in_time_ends_it(watch: SilenceWatch) -> None:
    says(watch, 10.0)
    watch.understood(10.3)
    watch.agent_started()
    assert watch.due_s() is None
    watch.agent_stopped(14.0)
    assert watch.due_s() is None


def test_each_failing_turn_has_its_own(watch: SilenceWatch) -> None:
    for start in (10.0, 30.0, 50.0):
        says(watch, start)
        assert fires(watch, start + AFTER_S) is Reason.UNHEARD
        watch.agent_started()
        watch.agent_stopped(start + 8)
        assert watch.due_s() is None


def test_even_when_the_apology_itself_was_not_heard(watch: SilenceWatch) -> None:
    says(watch, 10.0)
    assert fires(watch, 15.0) is Reason.UNHEARD
    says(watch, 20.0)
    assert fires(watch, 25.0) is Reason.UNHEARD


def test_a_cough_is_no_turn(watch: SilenceWatch) -> None:
    says(watch, 10.0, length_s=0.4)
    assert watch.due_s() is None


def test_a_short_yes_is_one_when_it_was_understood(watch: SilenceWatch) -> None:
    says(watch, 10.0, length_s=0.4)
    watch.understood(10.2)
    assert fires(watch, 15.0) is Reason.UNANSWERED


@pytest.mark.parametrize("final", [True, False])
def test_or_when_the_recogniser_is_in_trouble(watch: SilenceWatch, final: bool) -> None:
    says(watch, 10.0, length_s=0.4)
    watch.failed(12.0, speaking_stage=False, final=final)
    assert fires(watch, 12.0 + FAILED_GRACE_S if final else 15.0) is Reason.UNHEARD


def test_not_while_the_caller_goes_on(watch: SilenceWatch) -> None:
    says(watch, 10.0)
    watch.caller_started(10.8)
    assert watch.due_s() is None
    watch.caller_stopped(20.0, 9.2)
    assert watch.due_s() == 25.0, "a pause for breath: the wait begins with the end of the whole"


def test_who_asks_again_does_not_wait_all_over(watch: SilenceWatch) -> None:
    says(watch, 10.0)
    says(watch, 14.0, length_s=0.9)  # "Hello?"
    assert fires(watch, 14.0 + AFTER_S / 2) is Reason.UNHEARD


def test_short_pieces_add_up(watch: SilenceWatch) -> None:
    says(watch, 10.0, length_s=0.4)
    says(watch, 11.0, length_s=0.4)
    assert fires(watch, 16.0) is Reason.UNHEARD


def test_coughs_now_and_then_do_not(watch: SilenceWatch) -> None:
    for end_s in (10.0, 13.0, 60.0):
        says(watch, end_s, length_s=0.4)
        assert watch.due_s() is None
    says(watch, 63.0)
    assert watch.due_s() == 68.0, "nobody was waiting since the cough"


def test_words_spoken_into_the_agents_voice_wait_for_nothing(watch: SilenceWatch) -> None:
    watch.agent_started()
    says(watch, 10.0)
    assert watch.due_s() is None
    watch.agent_stopped(12.0)
    assert watch.due_s() is None


def test_a_barge_in_waits_for_its_answer(watch: SilenceWatch) -> None:
    watch.agent_started()
    watch.caller_started(10.0)
    watch.agent_stopped(10.5)
    watch.caller_stopped(12.0, 2.0)
    assert fires(watch, 17.0) is Reason.UNHEARD


def test_a_turn_taken_after_an_interruption_without_a_new_end_of_speech(watch: SilenceWatch) -> None:
    watch.agent_started()
    says(watch, 10.0)
    watch.agent_stopped(10.1)
    watch.understood(10.2)
    assert fires(watch, 15.2) is Reason.UNANSWERED


def test_words_understood_before_the_end_of_speech(watch: SilenceWatch) -> None:
    watch.caller_started(9.7)
    watch.understood(9.9)
    watch.caller_stopped(10.0, 0.3)
    assert fires(watch, 15.0) is Reason.UNANSWERED


def test_a_stage_that_gave_up_is_not_waited_for(watch: SilenceWatch) -> None:
    says(watch, 10.0)
    watch.understood(10.2)
    watch.failed(10.4, speaking_stage=True, final=True)
    assert fires(watch, 10.4 + FAILED_GRACE_S) is Reason.UNANSWERED


def test_but_one_that_tries_again_is(watch: SilenceWatch) -> None:
    says(watch, 10.0)
    watch.understood(10.2)
    watch.failed(10.4, speaking_stage=True, final=False)
    assert watch.due_s() == 15.0
    watch.failed(10.6, speaking_stage=True, final=True)
    watch.reply_attempted()
    assert watch.due_s() == 15.0


def test_the_recogniser_can_fail_before_the_voice_detector_saw_the_end(watch: SilenceWatch) -> None:
    watch.caller_started(8.5)
    watch.failed(9.9, speaking_stage=False, final=True)
    watch.caller_stopped(10.0, 1.5)
    assert watch.due_s() == 10.0 + FAILED_GRACE_S
    watch.understood(10.5)
    assert watch.due_s() == 15.0, "its words came after all"


def test_a_failure_is_forgotten_with_the_words_it_befell(watch: SilenceWatch) -> None:
    watch.failed(5.0, speaking_stage=False, final=True)
    says(watch, 10.0)
    watch.failed(10.2, speaking_stage=False, final=True)
    says(watch, 12.0, length_s=1.0)
    assert watch.due_s() == pytest.approx(17.0)


@pytest.mark.parametrize("before_its_first_word", [True, False])
def test_a_reply_cut_short(watch: SilenceWatch, before_its_first_word: bool) -> None:
    says(watch, 10.0)
    watch.understood(10.2)
    if before_its_first_word:
        watch.failed(10.4, speaking_stage=True, final=True)
    watch.agent_started()
    if not before_its_first_word:
        watch.failed(10.4, speaking_stage=True, final=True)
    assert watch.due_s() is None, "not over its own words"
    watch.agent_stopped(11.0)
    assert fires(watch, 11.0 + CUT_GRACE_S) is Reason.CUT_SHORT


def test_a_caller_who_goes_on_after_a_cut_gets_an_answer_and_no_apology(watch: SilenceWatch) -> None:
    watch.agent_started()
    watch.failed(10.4, speaking_stage=True, final=True)
    watch.agent_stopped(11.0)
    says(watch, 12.5, length_s=1.4)
    assert watch.due_s() == 17.5


def test_what_the_apology_replaced_does_not_cut_the_apology_short(watch: SilenceWatch) -> None:
    says(watch, 10.0)
    assert fires(watch, 15.0) is Reason.UNHEARD
    watch.agent_started()
    watch.failed(15.5, speaking_stage=True, final=True)
    watch.agent_stopped(18.0)
    assert watch.due_s() is None


def test_a_greeting_that_does_not_come(watch: SilenceWatch) -> None:
    watch.greeting_due(1.0)
    assert fires(watch, 6.0) is Reason.GREETING


def test_a_greeting_is_due_once(watch: SilenceWatch) -> None:
    watch.greeting_due(1.0)
    watch.agent_started()
    watch.agent_stopped(3.0)
    watch.greeting_due(4.0)
    assert fires(watch, 3.0 + NO_INPUT_S) is Reason.NO_INPUT, "what the agent says of itself later, nobody waits for"


def test_a_question_asked_before_the_greeting(watch: SilenceWatch) -> None:
    watch.greeting_due(1.0)
    says(watch, 4.0)
    assert fires(watch, 6.5) is Reason.UNHEARD


def test_a_tool_that_takes_long_is_not_interrupted(watch: SilenceWatch) -> None:
    says(watch, 10.0)
    watch.understood(10.2)
    watch.tool_started("book")
    assert watch.due_s() == 15.0
    verdict = watch.check(15.0)
    assert verdict is not None
    assert verdict.reason is Reason.WORKING
    assert not verdict.interrupts
    watch.agent_started()
    watch.agent_stopped(16.0)
    watch.tool_ended("book")
    watch.tools_done(30.0, reply_follows=True)
    assert fires(watch, 35.0) is Reason.UNANSWERED


def test_a_tool_without_a_reply_leaves_nothing_to_wait_for(watch: SilenceWatch) -> None:
    says(watch, 10.0)
    watch.understood(10.2)
    watch.tool_started("note")
    watch.tool_ended("note")
    watch.tools_done(11.0, reply_follows=False)
    assert watch.due_s() is None


def test_the_reply_to_a_tool_is_owed_after_what_was_said_meanwhile(watch: SilenceWatch) -> None:
    says(watch, 10.0)
    watch.understood(10.2)
    watch.tool_started("look")
    watch.agent_started()
    watch.tool_ended("look")
    watch.tools_done(11.0, reply_follows=True)
    watch.agent_stopped(12.0)
    assert fires(watch, 17.0) is Reason.UNANSWERED


def test_a_question_lost_with_the_line_is_asked_for(watch: SilenceWatch) -> None:
    says(watch, 7.0)
    watch.understood(7.2)
    watch.agent_started()
    watch.agent_stopped(9.0)
    watch.line_back(10.0)
    watch.line_back(10.1)  # a second track was published anew
    assert fires(watch, 10.0 + LINE_GRACE_S) is Reason.LINE_LOST
    assert watch.due_s() is None
    watch.agent_started()
    watch.agent_stopped(15.0)
    assert watch.due_s() is None


def greets(watch: SilenceWatch, end_s: float) -> None:
    watch.greeting_due(end_s - 2.0)
    watch.agent_started()
    watch.agent_stopped(end_s)


def test_a_caller_who_may_not_have_heard_the_greeting_is_spoken_to_again(watch: SilenceWatch) -> None:
    greets(watch, 10.0)
    at_s = 10.0
    for _ in range(NO_INPUTS):
        assert fires(watch, at_s + NO_INPUT_S) is Reason.NO_INPUT
        watch.agent_started()
        watch.agent_stopped(at_s := at_s + NO_INPUT_S + 2.0)
    assert watch.due_s() is None, "nobody is there"
    assert watch.check(1000.0) is None


def test_a_cough_is_no_word_of_the_callers(watch: SilenceWatch) -> None:
    greets(watch, 10.0)
    says(watch, 14.0, 0.3)
    assert fires(watch, 14.0 + NO_INPUT_S) is Reason.NO_INPUT


def test_who_was_heard_once_may_take_all_the_time_to_think(watch: SilenceWatch) -> None:
    greets(watch, 10.0)
    says(watch, 13.0)
    watch.understood(13.2)
    watch.agent_started()
    watch.agent_stopped(16.0)
    assert watch.due_s() is None


def test_an_agent_that_lets_the_caller_speak_first_waits(watch: SilenceWatch) -> None:
    assert watch.due_s() is None


def test_after_the_line_was_away_a_caller_who_goes_on_is_answered_as_ever(watch: SilenceWatch) -> None:
    watch.line_back(10.0)
    says(watch, 12.0)
    watch.understood(12.3)
    assert fires(watch, 17.0) is Reason.UNANSWERED


def test_an_answer_on_its_way_when_the_line_comes_back_is_waited_for(watch: SilenceWatch) -> None:
    says(watch, 9.0)
    watch.understood(9.2)
    watch.line_back(10.0)
    assert fires(watch, 14.0) is Reason.UNANSWERED


def test_a_reply_that_the_caller_may_not_have_heard(watch: SilenceWatch) -> None:
    watch.agent_started()
    watch.line_back(10.0)
    assert watch.due_s() is None
    watch.agent_stopped(11.0)
    assert fires(watch, 11.0 + LINE_GRACE_S) is Reason.LINE_LOST


def test_a_question_of_which_only_the_end_came_through(watch: SilenceWatch) -> None:
    watch.caller_started(9.8)
    watch.line_back(10.0)
    watch.caller_stopped(10.2, 0.4)  # as short as a cough
    assert fires(watch, 15.2) is Reason.UNHEARD


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
def test_no_verdict_over_a_voice_and_none_twice(steps: list[tuple[str, float]]) -> None:
    watch = SilenceWatch(after_s=AFTER_S, min_speech_s=MIN_SPEECH_S, no_input_s=NO_INPUT_S)
    now, caller, agent, apologies, chances = 0.0, False, False, 0, 0
    for what, pause_s in steps:
        if what == "caller" and not caller:
            caller = True
            watch.caller_started(now)
        elif what == "caller_end" and caller:
            caller = False
            chances += 1
            watch.caller_stopped(now, 1.0)
        elif what == "understood":
            chances += 1
            watch.understood(now)
        elif what == "agent" and not agent:
            agent = True
            watch.agent_started()
        elif what == "agent_end" and agent:
            agent = False
            chances += 1
            watch.agent_stopped(now)
        elif what == "fail":
            watch.failed(now, speaking_stage=True, final=True)
        elif what == "retry":
            watch.reply_attempted()
        elif what == "greeting":
            chances += 1
            watch.greeting_due(now)
        elif what == "line":
            chances += 1
            watch.line_back(now)
        elif what == "tool":
            watch.tool_started("t")
        elif what == "tool_end":
            chances += 1
            watch.tool_ended("t")
            watch.tools_done(now, reply_follows=True)
        now += pause_s
        verdict = watch.check(now)
        if verdict is not None:
            assert not caller
            assert not agent
            apologies += verdict.interrupts
            assert watch.check(now + 1000) is None or not verdict.interrupts
    assert apologies <= chances
