"""Why a caller heard nobody: each cause by what is noted of it, and no silence without its time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from voicefleet.contract.call_events import Silence
from voicefleet.contract.call_log import CallLog, summarize

pytestmark = pytest.mark.unit

START_MS = 1_764_000_000_000


def silences(*facts: tuple[float, str, dict[str, Any]], now: float = 60.0, ended: float | None = 60.0) -> list[Silence]:
    """Of the call with these facts: seconds since its start, kind, what more is noted."""
    log = {"room": "room", "opened_ms": str(START_MS)}
    if ended is not None:
        log["ended_ms"] = str(START_MS + round(ended * 1000))
    texts = [json.dumps({"e": kind, "t": START_MS + round(at * 1000), **more}) for at, kind, more in facts]
    call = CallLog.read("RM_1", "eu", log, texts)
    assert call is not None
    return summarize(call, START_MS + round(now * 1000)).dead_air


Fact = tuple[float, str, dict[str, Any]]

JOINED: Fact = (0.0, "caller", {})
ANSWERED = (0.4, "answered", {"worker": "eu-1", "epoch": 1})
GREETED = (1.2, "greeting", {"seconds": 0.8})
LEFT: Fact = (60.0, "no_caller", {})


def turn(at: float, ttfa: float, *, spoke_s: float = 2.0, **more: Any) -> tuple[float, str, dict[str, Any]]:
    return at, "turn", {"outcome": "completed", "ttfa_s": ttfa, "spoke_ms": spoke_s * 1000, "stages": {}, **more}


def test_a_call_like_any_other_has_none() -> None:
    assert silences(JOINED, ANSWERED, GREETED, turn(8.0, 0.7), turn(20.0, 1.9), LEFT) == []


def test_a_caller_who_waited_since_every_slot_had_a_call() -> None:
    waiting = (1.0, "waiting", {"why": "full", "live": 8, "slots": 8, "starting": 2})
    [found] = silences(JOINED, waiting, (14.0, "answered", {"worker": "eu-1"}), (14.9, "greeting", {}), LEFT)
    assert (found.from_s, found.until_s, found.lasted_s) == (0.0, 14.9, 14.9)
    assert found.why == "14.0 s without an agent: every slot had a call (8 calls, 8 slots, 2 workers were starting)"
    assert "max_workers" in found.hint
    assert "voicefleet explain eu" in found.hint


def test_a_caller_who_gave_up_while_no_worker_was_ready() -> None:
    [found] = silences(JOINED, (1.0, "waiting", {"why": "no_worker", "starting": 1}), (31.0, "no_caller", {}))
    assert (found.from_s, found.until_s) == (0.0, 31.0)
    assert found.why == "31.0 s without an agent: no worker was ready, 1 worker was starting"


def test_a_caller_who_waits_now() -> None:
    [found] = silences(JOINED, now=12.5, ended=None)
    assert (found.from_s, found.until_s, found.lasted_s) == (0.0, None, 12.5)


def test_an_agent_that_came_at_once_and_was_slow_to_speak() -> None:
    failed = (6.0, "provider_failure", {"reason": "tts: timeout"})
    [found] = silences(JOINED, ANSWERED, failed, (7.4, "greeting", {}), LEFT)
    assert found.why == "7.0 s until its agent spoke: the TTS gave nothing in time (timeout)"
    assert "`tts`" in found.hint


def test_a_worker_that_died() -> None:
    """The silence begins with the last sign of life, not with its discovery, and ends with the next agent's voice."""
    lost = (31.5, "lost", {"why": "worker_ended", "silent_ms": 1500})
    [found] = silences(
        JOINED, ANSWERED, GREETED, turn(20.0, 0.7), lost, (33.0, "recovered", {"worker": "eu-2"}),
        (34.5, "voice_back", {}), turn(44.0, 0.8), LEFT,
    )  # fmt: skip
    assert (found.from_s, found.until_s, found.lasted_s) == (30.0, 34.5, 4.5)
    assert found.why.startswith("its agent was lost: the process of eu-1 ended; 3.0 s without an agent")
    assert "log" in found.hint


def test_what_a_job_says_that_stood_still_and_lost_the_call_was_heard_by_nobody() -> None:
    lost, again = (31.5, "lost", {"why": "not_renewed"}), (33.0, "recovered", {"worker": "eu-2", "epoch": 3})
    late = (42.0, "apology", {"reason": "unanswered", "waited_s": 10.4, "epoch": 1})
    facts: list[Fact] = [lost, again, (34.8, "voice_back", {"epoch": 3}), late]
    [found] = silences(JOINED, ANSWERED, GREETED, *facts, LEFT)
    assert (found.from_s, found.until_s) == (31.5, 34.8)


def test_an_agent_of_the_release_before_does_not_say_when_it_spoke_again() -> None:
    lost: Fact = (31.5, "lost", {})
    [found] = silences(JOINED, ANSWERED, GREETED, lost, (35.0, "recovered", {"worker": "eu-2"}), turn(50.0, 0.8), LEFT)
    assert (found.from_s, found.until_s) == (31.5, 35.0)


def test_a_handoff_is_no_silence() -> None:
    assert silences(JOINED, ANSWERED, GREETED, (30.0, "moved", {"worker": "eu-2"}), turn(50.0, 0.8), LEFT) == []


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ([(29.8, "provider_failure", {"reason": "llm: timeout"})], "the LLM gave nothing in time (timeout)"),
        ([(27.0, "provider_failure", {"reason": "llm: refused"})] * 2, "the LLM refused the request, 2 times"),
        ([], "the caller was understood and no answer came; no provider reported a failure"),
    ],
)
def test_an_apology_in_place_of_an_answer(facts: list[Any], why: str) -> None:
    apology = (30.0, "apology", {"reason": "unanswered", "waited_s": 5.1})
    [found] = silences(JOINED, ANSWERED, GREETED, *facts, apology, turn(44.0, 0.8), LEFT)
    assert (found.from_s, found.until_s, found.lasted_s) == (24.9, 30.0, 5.1)
    assert found.why == f"{why}; an apology was played"
    assert found.hint


def test_a_slow_answer_names_its_slowest_stage() -> None:
    slow = turn(40.0, 6.2, spoke_s=3.0, stages={"eou": 0.5, "llm_ttft": 5.1, "tts_ttfb": 0.3})
    [found] = silences(JOINED, ANSWERED, GREETED, slow, LEFT)
    assert (found.from_s, found.until_s) == (30.8, 37.0)
    assert found.why == "slow answer: 5.1 s for the LLM's first word"


def test_a_silence_that_a_job_saw_and_nothing_explains_is_shown_all_the_same() -> None:
    [found] = silences(JOINED, ANSWERED, GREETED, (40.0, "silence", {}), (46.0, "silence_over", {}), LEFT)
    assert (found.from_s, found.until_s, found.lasted_s) == (30.0, 46.0, 16.0)
    assert "nothing that was noted says why" in found.why


def test_one_that_is_explained_is_told_once() -> None:
    apology = (36.0, "apology", {"reason": "unheard", "waited_s": 6.0})
    found = silences(JOINED, ANSWERED, GREETED, (40.0, "silence", {}), apology, (46.0, "silence_over", {}), LEFT)
    assert [silence.why for silence in found] == [
        "the caller spoke, and the recogniser made nothing of it; an apology was played"
    ]


def test_after_a_release_nobody_is_waited_for() -> None:
    assert silences(JOINED, ANSWERED, GREETED, (20.0, "released", {"reason": "human"}), LEFT) == []


def test_where_no_agent_says_when_it_spoke_no_silence_is_claimed() -> None:
    """Telemetry is off, the entrypoint speaks by itself, or an agent outside the fleet has the call."""
    assert silences(JOINED, ANSWERED, LEFT) == []
    assert silences(JOINED, ANSWERED, now=30.0, ended=None) == []
    assert silences(JOINED, (1.0, "neighbour", {}), LEFT) == []
    [found] = silences(JOINED, (9.0, "answered", {"worker": "eu-1"}), LEFT)
    assert (found.until_s, found.why) == (9.0, "9.0 s without an agent")


def test_an_agent_that_never_spoke_as_its_own_job_saw() -> None:
    [found] = silences(JOINED, ANSWERED, (10.5, "silence", {}), (25.0, "no_caller", {}))
    assert (found.from_s, found.until_s) == (0.0, 25.0)
    assert found.why == "24.6 s with an agent that did not speak"


def test_what_is_noted_wrongly_breaks_nothing() -> None:
    odd: list[Fact] = [
        (5.0, "turn", {"ttfa_s": "x", "stages": 3}),
        (6.0, "apology", {"waited_s": None}),
        (7.0, "lost", {"why": 3}),
    ]
    assert [silence.from_s for silence in silences(JOINED, ANSWERED, GREETED, *odd, LEFT)] == [7.0]
