"""A call in progress, in virtual time: its caller goes, its claim is lost or handed over, its turns are stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents import Agent

from support.fake_job import CALLER, JOB, SID, FakeJob, hangs, refuses
from support.virtual_time import run
from voicefleet.contract.apologies import APOLOGY_ATTRIBUTE
from voicefleet.worker.agents import Assistant
from voicefleet.worker.conversation.handover import LEAVE_AFTER_S, STORE_LIMIT_S
from voicefleet.worker.job import sdk
from voicefleet.worker.job.claim_lease import STALL_S
from voicefleet.worker.job.media import STALLED_AFTER_S, TROUBLE
from voicefleet.worker.telemetry.observations import (
    ApologySpoken,
    CallEnded,
    DeadAir,
    Greeting,
    ProviderFailure,
    RtpInterval,
    Turn,
)

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("unguarded")]

GONE_S = 20.0
OTHER = "AJ_other"


def of(job: FakeJob, kind: type[Any]) -> list[Any]:
    return [one for one in job.sent if isinstance(one, kind)]


async def greeted(**settings: Any) -> FakeJob:
    """A job whose agent has greeted its caller and listens."""
    job = FakeJob(lambda _: Assistant("Hello there."), **settings)
    await job.serve()
    await asyncio.sleep(5.0)
    return job


def test_a_call_without_its_caller_is_over_in_a_while() -> None:
    async def case() -> None:
        job = await greeted(caller_gone_s=GONE_S)
        job.room.leaves(CALLER)
        await asyncio.sleep(GONE_S - 0.1)
        assert job.ctx.shutdowns == []
        await asyncio.sleep(0.2)
        assert job.ctx.shutdowns == ["no caller in the room"]
        await job.end()
        assert job.transcripts.stored is None, "nobody needs it any more"

    run(case())


def test_a_caller_whose_network_changed_finds_the_call_as_it_was() -> None:
    async def case() -> None:
        job = await greeted(caller_gone_s=GONE_S)
        job.room.leaves(CALLER)
        await asyncio.sleep(GONE_S - 1.0)
        job.room.joins(CALLER)
        await asyncio.sleep(2 * GONE_S)
        assert job.ctx.shutdowns == []
        await job.end()

    run(case())


def test_another_agent_is_no_caller() -> None:
    async def case() -> None:
        job = await greeted(caller_gone_s=GONE_S)
        job.room.joins("agent-AJ_other", agent=True)
        job.room.leaves(CALLER)
        await asyncio.sleep(GONE_S + 0.1)
        assert job.ctx.shutdowns == ["no caller in the room"]
        await job.end()

    run(case())


def test_every_turn_is_stored() -> None:
    async def case() -> None:
        job = await greeted()
        job.asks("When?")
        await asyncio.sleep(5.0)
        stored = job.transcripts.stored
        assert stored is not None
        assert (stored.tier, stored.sid, stored.caller) == ("a", SID, CALLER)
        words = [item["content"][0] for item in stored.items if item["type"] == "message"]
        assert words == ["Hello there.", "When?", "Yes, certainly."]
        await job.end()
        assert job.transcripts.stored is not None, "its caller is there, and another agent may yet go on"

    run(case())


def test_the_end_of_the_room_is_the_end_of_the_conversation() -> None:
    async def case() -> None:
        job = await greeted()
        await job.room.disconnect(rtc.DisconnectReason.ROOM_DELETED)
        await job.end()
        assert job.transcripts.stored is None

    run(case())


def test_a_job_whose_call_was_taken_over_leaves_at_once_and_forgets_nothing() -> None:
    async def case() -> None:
        job = await greeted()
        before = job.transcripts.stored
        assert before is not None
        job.claims.holder = OTHER
        job.liveness.woken()
        await asyncio.sleep(0.1)
        assert job.room.track.mutings == [True], "not a word beside the new agent"
        assert not job.room.connected
        assert job.ctx.shutdowns == ["taken_over"]
        job.asks("When?")
        await asyncio.sleep(2.0)
        assert job.transcripts.stored == before, "it belongs to its successor now"
        await job.end()
        assert job.transcripts.stored == before
        assert of(job, CallEnded) == [CallEnded("taken_over")]
        assert job.claims.holder == OTHER

    run(case())


def test_redis_away_for_long_costs_no_call() -> None:
    async def case() -> None:
        job = await greeted()
        job.claims.away = True
        await asyncio.sleep(300.0)
        job.asks()
        await asyncio.sleep(5.0)
        assert job.said()[-1] == "Yes, certainly."
        assert job.ctx.shutdowns == []
        job.claims.away = False
        await job.end()

    run(case())


def test_a_call_is_handed_over_between_two_turns() -> None:
    async def case() -> None:
        job = await greeted()
        job.asks("When?")
        await asyncio.sleep(0.3)
        job.claims.ready_successor(OTHER)
        job.liveness.woken()
        await asyncio.sleep(0.2)
        assert job.claims.holder == JOB, "the answer is under way"
        await asyncio.sleep(5.0)
        assert job.claims.holder == OTHER
        assert job.said()[-1] == "Yes, certainly.", "the answer was not cut"
        assert job.transcripts.stored is not None
        assert "Yes, certainly." in str(job.transcripts.stored.items), "the successor knows it"
        assert job.ctx.shutdowns == ["handed_over"]
        await job.end()
        assert of(job, CallEnded) == [CallEnded("handed_over")]
        assert job.transcripts.stored is not None
        assert job.claims.holder == OTHER

    run(case())


def test_a_call_whose_avatar_was_put_out_moves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The successor's avatar has the same identity, and LiveKit keeps the one that came last."""
    monkeypatch.setattr(sdk, "avatar_of", lambda _: "avatar")

    async def case() -> None:
        job = await greeted()
        job.room.joins("avatar", agent=True)
        job.asks("When?")
        await asyncio.sleep(0.3)
        job.claims.ready_successor(OTHER)
        job.room.leaves("avatar")
        job.liveness.woken()
        await asyncio.sleep(0.2)
        assert job.claims.holder == OTHER, "nobody hears the rest of the answer"
        await job.end()

    run(case())


def test_a_call_that_cannot_be_stored_stays_where_it_is() -> None:
    async def case() -> None:
        job = await greeted()
        job.transcripts.stuck = True
        job.claims.ready_successor(OTHER)
        job.liveness.woken()
        await asyncio.sleep(STORE_LIMIT_S + LEAVE_AFTER_S + 0.2)
        assert job.claims.holder == JOB
        assert job.room.connected
        job.transcripts.stuck = False
        await asyncio.sleep(STORE_LIMIT_S + LEAVE_AFTER_S + 2.0)
        assert job.claims.holder == OTHER, "tried again with a later renewal"
        await job.end()

    run(case())


def test_a_process_that_did_not_run_is_mute_until_its_claim_is_confirmed() -> None:
    async def case() -> None:
        job = await greeted()
        job.claims.away = True
        asyncio.get_running_loop()._jumping.now_s += STALL_S + 1.0  # type: ignore[attr-defined]
        await asyncio.sleep(2.0)
        assert job.room.track.mutings == [True]
        job.claims.away = False
        await asyncio.sleep(2.0)
        assert job.room.track.mutings == [True, False]
        await job.end()

    run(case())


def test_a_turn_and_its_end_are_reported() -> None:
    async def case() -> None:
        job = await greeted()
        job.asks()
        await asyncio.sleep(5.0)
        assert [(turn.tier, turn.outcome) for turn in of(job, Turn)] == [("a", "completed")]
        assert of(job, DeadAir) == []
        await job.end()
        assert of(job, CallEnded) == [CallEnded("completed")]

    run(case())


def test_what_the_agent_keeps_is_stored_with_its_tools() -> None:
    async def case() -> None:
        job = await greeted()
        assert job.session is not None
        job.calls[0].kept["table"] = 4
        job.session.emit("function_tools_executed", cast(Any, SimpleNamespace(has_tool_reply=False)))
        assert job.transcripts.stored is not None
        assert job.transcripts.stored.kept == {"table": 4}
        await job.end()

    run(case())


def test_a_wake_renews_the_claim_at_once() -> None:
    async def case() -> None:
        job = await greeted()
        await asyncio.sleep(0.5)
        renewals = len(job.claims.renewals)
        job.liveness.woken()
        await asyncio.sleep(0.05)
        assert len(job.claims.renewals) == renewals + 1
        await job.end()

    run(case())


def test_a_dead_media_path_is_reported_with_the_claim() -> None:
    async def case() -> None:
        job = await greeted()
        assert job.claims.trouble == ""
        assert of(job, RtpInterval), "its statistics are observed meanwhile"
        job.room.media_flows = False
        await asyncio.sleep(STALLED_AFTER_S + 3.0)
        assert job.claims.trouble == TROUBLE
        await job.end()

    run(case())


def test_a_turn_without_an_answer_is_apologised_for_and_counted_once() -> None:
    async def case() -> None:
        job = await greeted(script=hangs)
        job.asks()
        await asyncio.sleep(12.0)
        assert of(job, ApologySpoken) == [ApologySpoken("unanswered")]
        assert of(job, ProviderFailure) == [ProviderFailure("llm", "timeout")], "the apology came before its limit"
        assert job.room.attributes_set == [{APOLOGY_ATTRIBUTE: "1 unanswered"}], "the room is told that it is no answer"
        await job.end()
        assert [turn.outcome for turn in of(job, Turn)] == ["error"]

    run(case())


def test_a_turn_that_nobody_apologises_for_is_counted_once_it_is_silent() -> None:
    async def slow(send: Callable[..., None]) -> None:
        for _ in range(5):
            await asyncio.sleep(3.0)
            send("")  # It lives, so no limit ends it.
        send("Yes.")

    async def case() -> None:
        job = await greeted(script=slow, tier={"apology": {"enabled": False}})
        job.asks()
        await asyncio.sleep(8.0)
        assert of(job, Turn) == []
        await asyncio.sleep(12.0)
        assert of(job, DeadAir) == [DeadAir(silent=True), DeadAir(silent=False)]
        assert [turn.outcome for turn in of(job, Turn)] == ["error"], "the answer that came too late is none more"
        await job.end()

    run(case())


def test_an_apology_is_no_greeting() -> None:
    class Greeter(Agent):
        async def on_enter(self) -> None:
            self.session.generate_reply(instructions="Greet.")

    async def case() -> None:
        job = FakeJob(lambda _: Greeter(instructions=""), script=refuses)
        await job.serve()
        await asyncio.sleep(8.0)
        assert [greeting.result for greeting in of(job, Greeting)] == ["apology"]
        await job.end()

    run(case())


def test_a_turn_under_way_at_the_end_is_told() -> None:
    async def case() -> None:
        job = await greeted(script=hangs)
        job.asks()
        await asyncio.sleep(1.0)
        await job.end()
        assert [turn.outcome for turn in of(job, Turn)] == ["session_closed"]

    run(case())


def test_what_was_lost_with_the_connection_is_asked_for_again() -> None:
    async def case() -> None:
        job = await greeted()
        job.asks()
        await asyncio.sleep(10.0)
        job.room.emit("local_track_republished")
        await asyncio.sleep(5.0)
        assert of(job, ApologySpoken) == [ApologySpoken("connection_lost")]
        await job.end()

    run(case())
