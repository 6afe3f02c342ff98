"""A call whose agent leaves on purpose is released; any other end gives its claim back, and it is served again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from livekit import rtc
from livekit.agents.voice.events import CloseReason

from support.fake_job import CALLER, JOB, SID, FakeJob
from support.virtual_time import run
from voicefleet.contract.aside import REASON_PATTERN
from voicefleet.contract.neighbours import AGENT_NAME_ATTRIBUTE
from voicefleet.worker.agents import Assistant
from voicefleet.worker.job.crash_pause import crash_pause_s
from voicefleet.worker.job.ending import word_of
from voicefleet.worker.telemetry.observations import CallEnded, CallReleased, Resumed

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("unguarded")]

REMOVED = rtc.DisconnectReason.PARTICIPANT_REMOVED


def of(job: FakeJob, kind: type[Any]) -> list[Any]:
    return [one for one in job.sent if isinstance(one, kind)]


async def greeted(**settings: Any) -> FakeJob:
    job = FakeJob(lambda _: Assistant("Hello there."), **settings)
    await job.serve()
    await asyncio.sleep(5.0)
    return job


async def released(job: FakeJob) -> tuple[str, str] | None:
    """Why the call is released, a moment from now, and the sid of its room; whatever the job's end takes."""
    await asyncio.sleep(0.5)
    before_its_end = job.claims.released
    await job.end()
    assert job.claims.released == before_its_end, "at once: the process may die while it closes"
    return before_its_end


def test_a_session_that_is_shut_down_while_the_caller_is_there_releases_the_call() -> None:
    async def case() -> None:
        job = await greeted()
        assert job.session is not None
        job.session.shutdown()
        assert await released(job) == ("session_closed", SID)
        assert of(job, CallReleased) == [CallReleased("session_closed")]
        assert of(job, CallEnded) == [CallEnded("released")]
        assert job.claims.holder == ""
        assert job.transcripts.stored is not None, "for the agent that somebody asks for"
        assert job.transcripts.stored.released

    run(case())


def test_the_teams_reason_is_told() -> None:
    async def case() -> None:
        job = await greeted()
        job.calls[0].release("Voicemail, reached!")
        assert await released(job) == ("released:voicemail_reached", SID)
        assert of(job, CallReleased) == [CallReleased("released")]

    run(case())


@pytest.mark.parametrize(
    ("reason", "word"), [("a human", "a_human"), ("  ", ""), ("Ä", ""), ("x" * 99, "x" * 48), ("-a:b", "a_b")]
)
def test_a_reason_is_one_word(reason: str, word: str) -> None:
    assert word_of(reason) == word
    assert not word or REASON_PATTERN.match(f"released:{word}")


def test_sessions_that_fail_one_after_the_other_are_started_ever_less_often() -> None:
    assert [crash_pause_s(1.0, epoch) for epoch in range(1, 9)] == [0.0, 0.0, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert crash_pause_s(10.0, 9) == 0.0, "it has worked"


def test_a_session_that_fails_at_once_for_the_fourth_time_keeps_its_call_for_a_moment() -> None:
    async def case() -> None:
        job = FakeJob(lambda _: Assistant("Hello there."))
        job.claims.epoch = 4
        await job.serve()
        assert job.session is not None
        await job.session._aclose_impl(reason=CloseReason.ERROR)
        await asyncio.sleep(1.5)
        assert job.ctx.shutdowns == []
        await asyncio.sleep(1.0)
        assert job.ctx.shutdowns == ["session closed"]
        assert await released(job) is None

    run(case())


def test_a_job_that_the_team_shuts_down_releases_the_call() -> None:
    async def case() -> None:
        job = await greeted()
        job.ctx.shutdown("a human has it")
        assert job.ctx.shutdowns == ["a human has it"]
        assert await released(job) == ("job_shutdown", SID)

    run(case())


def test_what_follows_a_caller_that_left_releases_nothing() -> None:
    """A team's own `participant_disconnected` handler; the caller may come back within a moment."""

    async def case() -> None:
        for end in ("session", "job"):
            job = await greeted()
            assert job.session is not None
            job.room.leaves(CALLER)
            if end == "session":
                job.session.shutdown()
            else:
                job.ctx.shutdown("done")
            assert await released(job) is None
            assert job.claims.holder == "", "the claim is given back all the same"

    run(case())


@pytest.mark.parametrize("reason", [CloseReason.ERROR, CloseReason.PARTICIPANT_DISCONNECTED, CloseReason.JOB_SHUTDOWN])
def test_a_session_that_an_error_closes_is_a_crash_even_if_the_team_then_ends_the_job(reason: CloseReason) -> None:
    async def case() -> None:
        job = await greeted()
        assert job.session is not None
        job.session.on("close", lambda _: job.ctx.shutdown("session over"))
        await job.session._aclose_impl(reason=reason)
        assert await released(job) is None
        assert of(job, CallEnded) == [CallEnded("completed")]

    run(case())


def test_an_agent_that_somebody_removes_and_the_last_caller_removed_release_the_call() -> None:
    async def case() -> None:
        job = await greeted()
        await job.room.disconnect(REMOVED)
        assert await released(job) == ("agent_removed", SID)
        stored = job.transcripts.stored
        assert stored is not None
        assert not stored.released, "it may have been a recovery, whose agent says sorry"
        job = await greeted()
        job.room.joins("bob")
        job.room.leaves(CALLER, REMOVED)
        await asyncio.sleep(1.0)
        assert job.claims.released is None, "another caller is there"
        job.room.leaves("bob", REMOVED)
        assert job.ctx.shutdowns == ["caller removed"]
        assert await released(job) == ("caller_removed", SID)

    run(case())


def test_a_room_that_is_deleted_and_a_server_that_ends_release_nothing() -> None:
    async def case() -> None:
        for reason in (rtc.DisconnectReason.ROOM_DELETED, rtc.DisconnectReason.SERVER_SHUTDOWN):
            job = await greeted()
            await job.room.disconnect(reason)
            assert await released(job) is None

    run(case())


def test_a_job_that_lost_its_call_releases_nothing() -> None:
    async def case() -> None:
        job = await greeted()
        job.claims.holder = "AJ_other"
        await asyncio.sleep(3.0)
        assert job.ctx.shutdowns == ["taken_over"]
        assert await released(job) is None
        assert job.claims.holder == "AJ_other"

    run(case())


def test_an_agent_that_is_asked_for_again_knows_the_call_and_greets() -> None:
    async def case() -> None:
        job = await greeted()
        job.calls[0].release("a human")
        await released(job)
        again = FakeJob(lambda _: Assistant("Back again."), stored=job.transcripts.stored)
        await again.serve()
        await asyncio.sleep(5.0)
        assert again.calls[0].resumed == "asked_again"
        assert again.said() == ["Hello there.", "Back again."], "and no excuse"
        assert of(again, Resumed) == [Resumed("asked_again")]
        await again.end()

    run(case())


# Neighbours


def test_where_an_agent_of_the_teams_own_is_ours_says_nothing() -> None:
    async def case() -> None:
        job = FakeJob(lambda _: Assistant("Hello there."))
        job.room.joins("agent-X", agent=True, more={AGENT_NAME_ATTRIBUTE: "voicefleet"}, outside=True)
        await job.serve()
        await asyncio.sleep(5.0)
        assert job.ctx.shutdowns == ["an agent of the team's own serves the call"]
        assert job.said() == []
        assert await released(job) is None

    run(case())


def test_the_call_is_left_to_an_agent_of_the_teams_own_that_comes_later_and_not_to_a_transcriber() -> None:
    async def case() -> None:
        job = await greeted()
        assert job.claims.holder == JOB
        job.room.joins("transcriber", agent=True, outside=True)
        await asyncio.sleep(5.0)
        assert job.ctx.shutdowns == []
        job.room.joins("agent-X", agent=True, more={AGENT_NAME_ATTRIBUTE: "voicefleet"}, outside=True)
        await asyncio.sleep(1.0)
        assert job.ctx.shutdowns == ["taken_over"]
        assert job.room.track.mutings[-1:] == [True], "silent at once"
        assert await released(job) is None

    run(case())
