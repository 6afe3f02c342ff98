"""A team's own entrypoint as a job, in virtual time: it starts its session itself and knows nothing of us."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from livekit.agents import Agent, JobContext

from support.fake_job import JOB, SID, FakeJob
from support.virtual_time import run
from voicefleet.worker.call import HANDED_OVER, RECOVERED, current_call
from voicefleet.worker.conversation.transcript import CallTranscript
from voicefleet.worker.job.session_wait import START_LIMIT_S
from voicefleet.worker.job.voice import HEARD_BACK_S, OURS_KEPT_S, Gate
from voicefleet.worker.telemetry.observations import HookFailed, Resumed

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("unguarded")]

ASKED = {"type": "message", "id": "i1", "role": "user", "content": ["When?"], "created_at": 1.0}
TOLD = {"type": "message", "id": "i2", "role": "assistant", "content": ["At nine."], "created_at": 2.0}
BEFORE = CallTranscript("b", [ASKED, TOLD], {"table": 4}, sid=SID)


class Team:
    """A team's file: `after` is what it does once its session has started."""

    def __init__(self, *, before_s: float = 0.0, after: Callable[[Team], Awaitable[None]] | None = None, **job: Any):
        self.before_s = before_s
        self.after = after
        self.started = False
        self.job = FakeJob(entrypoint=self.entrypoint, **job)

    async def entrypoint(self, ctx: JobContext) -> None:
        await asyncio.sleep(self.before_s)
        self.session = self.job.make_session()
        await self.session.start(Agent(instructions="Help."), room=ctx.room)
        self.started = True
        if self.after is not None:
            await self.after(self)


async def greets(team: Team) -> None:
    await team.session.say("Hello there.")


def test_it_gets_the_claim_and_its_greeting_is_heard() -> None:
    async def case() -> None:
        team = Team(after=greets)
        await team.job.serve()
        assert team.job.claims.holder == JOB
        assert team.job.said() == ["Hello there."]
        call = current_call()
        assert call is not None
        assert (call.room, call.resumed) == ("room-1", "")
        await asyncio.sleep(5.0)
        assert len(team.job.claims.renewals) >= 5
        await team.job.end()
        assert team.job.claims.holder == ""

    run(case())


def test_a_lost_word_of_the_subscription_does_not_keep_it_mute() -> None:
    async def case() -> None:
        team = Team(after=greets)
        await team.job.serve()
        assert not team.job.room.subscription.done()
        await asyncio.sleep(5.0)
        assert team.job.room.subscription.done()
        await team.job.end()

    run(case())


def test_a_recovered_call_has_its_conversation_and_no_second_greeting() -> None:
    async def case() -> None:
        team = Team(after=greets, stored=BEFORE)
        await team.job.serve()
        await asyncio.sleep(8.0)
        assert team.job.said() == ["When?", "At nine."]
        assert len(team.job.loudspeaker.heard) == 1, "the words of the resumption"
        assert [one for one in team.job.sent if isinstance(one, Resumed)] == [Resumed(RECOVERED)]
        call = current_call()
        assert call is not None
        assert call.kept == {"table": 4}
        assert "Hello there." not in team.job.said()
        team.session.say("Later words are said.")
        await asyncio.sleep(3.0)
        assert team.job.said()[-1] == "Later words are said."
        await team.job.end()

    run(case())


def test_a_successor_s_entrypoint_goes_on_once_the_call_is_its_own() -> None:
    async def case() -> None:
        team = Team(after=greets, stored=BEFORE, holder="AJ_other", successor=True)
        team.job.claims.ready_successor(JOB)
        serving = asyncio.create_task(team.job.serve())
        await asyncio.sleep(5.0)
        assert not team.started
        assert not team.session.output.audio_enabled
        assert team.job.deaf
        await team.job.claims.hand_over("room-1", job="AJ_other")
        await serving
        assert team.started
        assert team.session.output.audio_enabled
        assert team.job.loudspeaker.heard == []
        assert [one for one in team.job.sent if isinstance(one, Resumed)] == [Resumed(HANDED_OVER)]
        await team.job.end()

    run(case())


def test_a_successor_that_starts_slowly_keeps_the_handoff() -> None:
    async def case() -> None:
        team = Team(before_s=12.0, stored=BEFORE, holder="AJ_other", successor=True)
        team.job.claims.ready_successor(JOB)
        serving = asyncio.create_task(team.job.serve())
        await asyncio.sleep(15.0)
        said = team.job.claims.said_ready
        assert [ready for _, ready in said[:10]] == [False] * 10
        assert max(after - before for (before, _), (after, _) in itertools.pairwise(said)) < 3.0, "6 s are too long"
        assert said[-1][1]
        states = [ready for _, ready in said]
        assert states == sorted(states), "once ready, it does not say that it starts"
        await team.job.claims.hand_over("room-1", job="AJ_other")
        await serving
        assert team.started
        await asyncio.sleep(START_LIMIT_S)
        assert team.job.ctx.shutdowns == []
        await team.job.end()

    run(case())


def test_from_the_moment_the_call_is_its_own_a_successor_keeps_every_word() -> None:
    async def case() -> None:
        team = Team(stored=BEFORE, holder="AJ_other", successor=True)
        team.job.claims.ready_successor(JOB)
        serving = asyncio.create_task(team.job.serve())
        await asyncio.sleep(3.0)
        gate = team.session.input.audio
        assert isinstance(gate, Gate)
        assert gate._keep_s == HEARD_BACK_S
        kept_s = []

        async def read() -> CallTranscript:
            kept_s.append(gate._keep_s)
            return BEFORE

        team.job.transcripts.read = read  # type: ignore[method-assign]
        await team.job.claims.hand_over("room-1", job="AJ_other")
        await serving
        assert kept_s == [OURS_KEPT_S], "while it still takes the conversation"
        await team.job.end()

    run(case())


@pytest.mark.parametrize(("before_s", "why"), [(600.0, "no session started"), (12.0, "not handed over")])
def test_a_successor_that_cannot_start_leaves_and_the_call_stays(before_s: float, why: str) -> None:
    async def case() -> None:
        team = Team(before_s=before_s, stored=BEFORE, holder="AJ_other", successor=True)
        team.job.claims.ready_successor(JOB)
        if why == "not handed over":
            team.job.claims.handoff = None
        await team.job.serve()
        assert team.job.ctx.shutdowns == [why]
        assert not team.started
        await team.job.end()
        assert team.job.claims.holder == "AJ_other"

    run(case())


def test_a_call_of_another_job_is_left_and_the_entrypoint_does_not_go_on() -> None:
    async def case() -> None:
        team = Team(after=greets, holder="AJ_other")
        await team.job.serve()
        assert team.job.ctx.shutdowns == ["claim held by another"]
        assert not team.started
        assert team.job.loudspeaker.heard == []
        await team.job.end()
        assert team.job.claims.holder == "AJ_other"

    run(case())


def test_a_slow_entrypoint_keeps_its_claim() -> None:
    async def case() -> None:
        team = Team(before_s=12.0, after=greets)
        serving = asyncio.create_task(team.job.serve())
        await asyncio.sleep(10.0)
        assert len(team.job.claims.renewals) >= 7, "an accepted claim would have ended after 5 s"
        await serving
        assert team.job.said() == ["Hello there."]
        assert team.job.ctx.shutdowns == []
        await team.job.end()

    run(case())


def test_an_entrypoint_that_never_starts_a_session_is_given_up_and_counted() -> None:
    async def case() -> None:
        team = Team(before_s=600.0)
        team.job.room.local_participant.track_publications.clear()
        await team.job.serve()
        assert asyncio.get_running_loop().time() < START_LIMIT_S + 5.0
        assert team.job.ctx.shutdowns == ["no session started"]
        assert HookFailed("session_start") in team.job.sent
        await team.job.end()
        assert team.job.claims.holder == "", "another job may try"

    run(case())


def test_what_fails_beside_a_session_does_not_end_the_call() -> None:
    async def fails(team: Team) -> None:
        raise LookupError("no such customer")

    async def case() -> None:
        team = Team(after=fails)
        await team.job.serve()
        assert team.job.ctx.shutdowns == []
        assert HookFailed("entrypoint") in team.job.sent
        await asyncio.sleep(5.0)
        assert team.job.claims.holder == JOB
        await team.job.end()

    run(case())


def test_a_session_that_does_not_start_is_a_crash_and_another_job_serves_the_call() -> None:
    async def case() -> None:
        team = Team(after=greets)
        team.job.loudspeaker = cast(Any, "no loudspeaker")
        with pytest.raises(AttributeError):
            await team.job.serve()
        assert HookFailed("entrypoint") not in team.job.sent
        await team.job.end()
        assert team.job.claims.holder == ""

    run(case())


def test_a_second_session_has_no_part_in_the_call() -> None:
    async def second(team: Team) -> None:
        other = team.job.make_session()
        await other.start(Agent(instructions="Listen."), room=cast(Any, object()))
        await other.aclose()

    async def case() -> None:
        team = Team(after=second)
        await team.job.serve()
        await asyncio.sleep(3.0)
        assert team.job.ctx.shutdowns == [], "its end is not the call's"
        await team.job.end()

    run(case())
