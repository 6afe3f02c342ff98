"""A job's share of its call's log: written beside the call, kept while Redis is away, and never a burden to it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from support import virtual_time
from support.virtual_time import LoopClock
from voicefleet.contract.errors import UnknownStateError
from voicefleet.worker.telemetry import observations as seen
from voicefleet.worker.telemetry.call_facts import LAST_WORDS_S, MOST_KEPT, CallFacts, Note, fact_of
from voicefleet.worker.telemetry.log_lines import turn_fields

pytestmark = pytest.mark.unit

TURN = seen.Turn("fast", "completed", 0.61234, (seen.StageTiming("llm_ttft", "open", 0.2),), trace="t")


class Store:
    """Answers of the store, one a write: True, False (not our call yet), an error; True when there are no more."""

    def __init__(self, *answers: bool | Exception, takes_s: float = 0.0) -> None:
        self.answers = list(answers)
        self.takes_s = takes_s
        self.written: list[dict[str, Any]] = []
        self.tries = 0

    async def add_facts(self, room: str, room_sid: str, *, facts: Sequence[dict[str, Any]], **_: str) -> bool:
        self.tries += 1
        await asyncio.sleep(self.takes_s)
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        self.written += facts if answer else []
        return answer


def facts_over(store: Store) -> CallFacts:
    return CallFacts(cast(Any, store), room="room", room_sid="RM_1", job="j", clock=LoopClock())


def test_a_turn_is_written_with_its_stages_and_without_who_spoke() -> None:
    assert fact_of(TURN) == {"e": "turn", "outcome": "completed", "stages": {"llm_ttft": 0.2}, "ttfa_s": 0.6123}
    spoke = seen.Turn("fast", "completed", 0.5, spoke_s=2.1234)
    assert fact_of(spoke) == {"e": "turn", "outcome": "completed", "stages": {}, "ttfa_s": 0.5, "spoke_ms": 2123}
    assert fact_of(seen.Turn("fast", "interrupted")) == {"e": "turn", "outcome": "interrupted", "stages": {}}
    assert fact_of(seen.Greeting("silent", 10.0)) is None
    assert [fact_of(seen.DeadAir(silent)) for silent in (True, False)] == [{"e": "silence"}, {"e": "silence_over"}]
    assert fact_of(seen.ApologySpoken("unanswered", 5.02)) == {"e": "apology", "reason": "unanswered", "waited_s": 5.02}
    assert fact_of(seen.CallEnded("completed")) is None


def test_what_happens_while_redis_is_away_is_written_later_with_its_age() -> None:
    async def work() -> list[dict[str, Any]]:
        store = Store(UnknownStateError("away"), False)
        facts = facts_over(store)
        facts.observed(TURN)
        await asyncio.sleep(1.5)
        facts.observed(seen.Interruption("barge_in", 0.2))
        await asyncio.sleep(5)
        await facts.close()
        return store.written

    written = virtual_time.run(work())
    assert [(fact["e"], fact["ago_ms"]) for fact in written] == [("turn", 2000), ("interruption", 500)]


def test_the_end_of_a_job_waits_for_its_last_words_and_not_for_ever() -> None:
    async def work(store: Store) -> float:
        facts = facts_over(store)
        facts.observed(TURN)
        await facts.close()
        return virtual_time.now_s()

    assert virtual_time.run(work(soon := Store(takes_s=0.3))) == pytest.approx(0.3)
    assert len(soon.written) == 1
    assert virtual_time.run(work(Store(takes_s=60.0))) == pytest.approx(LAST_WORDS_S)


def test_of_too_many_that_cannot_be_written_the_oldest_are_lost_and_none_is_written_twice() -> None:
    async def work() -> list[dict[str, Any]]:
        store = Store(*[UnknownStateError("away")] * 3, takes_s=0.5)
        facts = facts_over(store)
        for number in range(MOST_KEPT + 50):
            facts.observed(seen.ApologySpoken(str(number)))
            await asyncio.sleep(0.01)
        await asyncio.sleep(60)
        return store.written

    written = [int(fact["reason"]) for fact in virtual_time.run(work())]
    assert written == list(range(50, MOST_KEPT + 50))


def test_a_call_without_a_word_writes_nothing() -> None:
    async def work() -> int:
        store = Store()
        facts = facts_over(store)
        await facts.close()
        return store.tries

    assert virtual_time.run(work()) == 0


def test_a_turn_is_one_log_line_with_its_stages_and_who_gave_them() -> None:
    assert turn_fields(TURN) == {
        "tier": "fast",
        "outcome": "completed",
        "ttfa_s": 0.61234,
        "stages": {"llm_ttft": 0.2},
        "providers": {"llm_ttft": "open"},
    }


def test_what_explains_a_silence_is_written_beside_what_is_counted() -> None:
    async def work() -> list[dict[str, Any]]:
        store = Store()
        facts = facts_over(store)
        facts.note(Note.STALLED)
        facts.note(Note.VOICE_BACK, 1.23456)
        await facts.close()
        return store.written

    assert virtual_time.run(work()) == [
        {"e": "stalled", "ago_ms": 0},
        {"e": "voice_back", "seconds": 1.2346, "ago_ms": 0},
    ]
