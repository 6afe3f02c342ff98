"""How an answer went down with its caller, told from what comes after it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.fake_job import CALLER, FakeJob
from support.virtual_time import run
from voicefleet.contract.responses import ResponseResult as Result
from voicefleet.worker.agents import Assistant
from voicefleet.worker.call import current_call
from voicefleet.worker.telemetry.observations import Response, TaskReported
from voicefleet.worker.telemetry.repeats import asks_again, same_question, says_goodbye
from voicefleet.worker.telemetry.responses import LEFT_AFTER_S, Responses

pytestmark = pytest.mark.unit


def answered(question: str = "When do you open on Sunday?", *, interrupted: bool = False) -> Responses:
    responses = Responses()
    assert responses.asked(question) is None, "nothing was answered before it"
    responses.agent(True, 1.0)
    responses.agent(False, 3.0)
    responses.answered("At ten in the morning.", interrupted=interrupted)
    return responses


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("What?", True),
        ("Sorry?", True),
        ("Could you repeat that, please?", True),
        ("I did not hear you.", True),
        ("Wie bitte?", True),
        ("Ich habe das nicht verstanden", True),
        ("¿Puede repetir?", True),
        ("Je n'ai pas compris", True),
        ("What time do you open?", False),
        ("Sorry, at eight then.", False),
        ("Please repeat the booking that I made for my mother last year in May", False),
        ("", False),
    ],
)
def test_what_asks_for_the_answer_once_more(text: str, again: bool) -> None:
    assert asks_again(text) is again


def test_the_same_question_is_the_same_words_but_for_a_few() -> None:
    assert same_question("When do you open on Sunday?", "when do you open on sunday")
    assert same_question("When do you open on Sunday?", "So, when do you open on Sunday?")
    assert not same_question("When do you open on Sunday?", "When do you close on Monday evening?")
    assert not same_question("Yes please.", "Yes please."), "said twice for good reasons"
    assert says_goodbye("Thanks, bye-bye!")
    assert says_goodbye("Auf Wiederhören")
    assert not says_goodbye("By eight")


def test_an_answer_is_judged_by_the_next_words() -> None:
    assert answered().asked("And on Monday?") is Result.OK
    assert answered(interrupted=True).asked("And on Monday?") is Result.INTERRUPTED
    assert answered().asked("Pardon?") is Result.ASKED_AGAIN
    assert answered(interrupted=True).asked("when do you open on sunday") is Result.ASKED_AGAIN


def test_the_same_question_after_a_what_is_asked_again_too() -> None:
    responses = answered()
    assert responses.asked("What?") is Result.ASKED_AGAIN
    responses.answered("At ten.", interrupted=False)
    assert responses.asked("When do you open on Sunday?") is Result.ASKED_AGAIN


def test_who_speaks_on_before_an_answer_judges_none() -> None:
    responses = Responses()
    assert [responses.asked(text) for text in ("When do you", "when do you open")] == [None, None]


def test_a_caller_who_leaves_in_mid_answer_hung_up() -> None:
    responses = Responses()
    responses.asked("When do you open?")
    responses.agent(True, 1.0)
    assert responses.over(2.0) is Result.HUNG_UP
    assert responses.over(2.0) is None, "told once"
    cut = answered(interrupted=True)
    assert cut.over(2.0, speaking=True) is Result.HUNG_UP, "the session's end cut the answer"


def test_a_caller_who_leaves_soon_after_an_answer() -> None:
    assert answered().over(3.0 + LEFT_AFTER_S) is Result.LEFT_AFTER
    assert answered().over(3.1 + LEFT_AFTER_S) is Result.OK
    assert answered().over(None) is Result.OK, "the agent ended it, or another one goes on"
    done = answered()
    done.done()
    assert done.over(3.5) is Result.OK, "the caller has what it wanted"
    assert answered("Goodbye then").over(3.5) is Result.OK


def test_a_caller_who_leaves_while_it_waits_or_is_greeted_judges_no_answer() -> None:
    waiting = Responses()
    waiting.asked("When do you open?")
    assert waiting.over(2.0) is None
    greeted = Responses()
    greeted.agent(True, 1.0)
    assert greeted.over(2.0) is None


def test_no_answer_is_told_at_once_and_once() -> None:
    responses = Responses()
    responses.asked("When do you open?")
    assert responses.unanswered() is Result.UNANSWERED
    assert responses.asked("When do you open?") is None
    assert responses.over(9.0) is None


def sent(job: FakeJob, kind: type[Any]) -> list[Any]:
    return [one for one in job.sent if isinstance(one, kind)]


@pytest.mark.usefixtures("unguarded")
def test_a_job_tells_how_its_answers_went_down_and_what_its_agent_reports() -> None:
    async def case() -> tuple[list[Any], list[Any]]:
        job = FakeJob(lambda _: Assistant("Hello there."), caller_gone_s=1.0)
        await job.serve()
        await asyncio.sleep(5.0)
        call = current_call()
        assert call is not None
        for question in ("when do you open", "what", "and on sunday"):
            job.asks(question)
            await asyncio.sleep(5.0)
        call.report(success=True, task="booking " * 20)
        job.room.leaves(CALLER)
        await asyncio.sleep(2.0)
        await job.end()
        return sent(job, Response), sent(job, TaskReported)

    responses, tasks = run(case())
    assert [one.result for one in responses] == ["asked_again", "ok", "ok"]
    assert [(one.result, len(one.task)) for one in tasks] == [("success", 40)]
