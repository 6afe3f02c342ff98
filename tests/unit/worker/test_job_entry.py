"""A job from its start to its end, in virtual time: whose call it is, what the agent knows, and what is given back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from livekit.agents import Agent

from support.fake_job import CALLER, JOB, SID, FakeJob
from support.virtual_time import run
from voicefleet.contract.calls import DispatchMetadata
from voicefleet.worker.agents import Assistant
from voicefleet.worker.call import HANDED_OVER, RECOVERED
from voicefleet.worker.conversation.handover import GONE_AFTER_S, SUCCESSION_LIMIT_S
from voicefleet.worker.conversation.transcript import CallTranscript
from voicefleet.worker.job import session_access
from voicefleet.worker.job.session_access import SessionAccess
from voicefleet.worker.telemetry.observations import CallEnded, Greeting, Resumed, Setup, Span

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("unguarded")]

ASKED = {"type": "message", "id": "i1", "role": "user", "content": ["When?"], "created_at": 1.0}
TOLD = {"type": "message", "id": "i2", "role": "assistant", "content": ["At nine."], "created_at": 2.0}
BEFORE = CallTranscript("b", [ASKED, TOLD], {"table": 4}, sid=SID)


def of(job: FakeJob, kind: type[Any]) -> list[Any]:
    return [one for one in job.sent if isinstance(one, kind)]


def test_a_new_call_is_claimed_greeted_and_given_back() -> None:
    async def case() -> None:
        job = FakeJob(lambda _: Assistant("Hello there."))
        await job.serve()
        assert job.claims.holder == JOB
        await asyncio.sleep(10.0)
        assert len(job.claims.renewals) == 10, "the first one, then one a second"
        assert job.said() == ["Hello there."]
        assert job.channel.connected
        assert [one.result for one in of(job, Setup)] == ["ok"]
        assert [one.result for one in of(job, Greeting)] == ["ok"]
        assert (job.calls[0].tier, job.calls[0].resumed) == ("a", "")
        assert job.ctx.shutdowns == []
        job.room.leaves(CALLER)
        await job.end()
        assert job.claims.holder == ""
        assert job.ended == ["claim", "liveness", "channel", "redis"], "deaf with a call means dead"
        assert job.sent[-1] == CallEnded("completed")

    run(case())


def test_the_dispatch_names_the_tier_and_gives_the_metadata() -> None:
    async def case() -> None:
        job = FakeJob(metadata=DispatchMetadata(tier="b", metadata="table 4").encode())
        await job.serve()
        assert job.tier == job.calls[0].tier == "b"
        assert job.calls[0].metadata == "table 4"
        await job.end()

    run(case())


def test_a_call_of_another_job_is_left_without_a_word() -> None:
    async def case() -> None:
        job = FakeJob(lambda _: Assistant("Hello there."), holder="AJ_other")
        await job.serve()
        assert job.ctx.shutdowns == ["claim held by another"]
        await job.end()
        assert job.claims.holder == "AJ_other"
        assert job.loudspeaker.heard == []
        assert of(job, CallEnded) == []
        assert job.transcripts.stored is None

    run(case())


@pytest.mark.parametrize("another_agent", [False, True])
def test_while_redis_is_away_whoever_came_later_leaves(another_agent: bool) -> None:
    async def case() -> None:
        job = FakeJob()
        job.claims.away = True
        if another_agent:
            job.room.joins("agent-AJ_other", agent=True)
        await job.serve()
        assert job.ctx.shutdowns == (["claim held by another"] if another_agent else [])
        job.claims.away = False
        await asyncio.sleep(1.5)
        assert (job.claims.holder == JOB) is not another_agent
        await job.end()

    run(case())


def test_a_recovered_call_goes_on_where_it_was() -> None:
    async def case() -> None:
        job = FakeJob(lambda _: Assistant("Hello there."), stored=BEFORE)
        await job.serve()
        await asyncio.sleep(8.0)
        call = job.calls[0]
        assert (call.resumed, call.kept, call.tier) == (RECOVERED, {"table": 4}, "b")
        assert job.said() == ["When?", "At nine."], "no second greeting; the words of the resumption are not kept"
        assert len(job.loudspeaker.heard) == 1, "they were said, though"
        assert of(job, Resumed) == [Resumed(RECOVERED)]
        assert of(job, Greeting) == []
        await job.end()

    run(case())


@pytest.mark.parametrize(
    ("sid", "caller", "at_s", "resumed"),
    [
        ("RM_0", CALLER, 1_767_225_590.0, RECOVERED),
        ("RM_0", CALLER, 1_767_225_000.0, ""),
        ("RM_0", "somebody", 1_767_225_590.0, ""),
    ],
    ids=["the same caller, at once", "long ago", "another caller"],
)
def test_a_room_of_the_same_name_has_its_own_conversation(sid: str, caller: str, at_s: float, resumed: str) -> None:
    async def case() -> None:
        job = FakeJob(stored=CallTranscript("b", [ASKED, TOLD], {}, sid=sid, caller=caller, at_s=at_s))
        await job.serve()
        assert job.calls[0].resumed == resumed
        await job.end()

    run(case())


def test_a_successor_is_silent_until_the_call_is_its_own() -> None:
    async def case() -> None:
        job = FakeJob(lambda _: Assistant("Hello there."), holder="AJ_other", successor=True, stored=BEFORE)
        job.claims.ready_successor(JOB)
        serving = asyncio.create_task(job.serve())
        await asyncio.sleep(5.0)
        assert not serving.done()
        assert job.session is not None
        assert not job.session.output.audio_enabled
        assert job.deaf
        assert job.loudspeaker.heard == []
        assert job.sent == []
        # Said after the successor joined: it must know that too.
        late = {**TOLD, "id": "i3", "content": ["Or ten."], "created_at": 3.0}
        job.transcripts.stored = CallTranscript("b", [ASKED, TOLD, late], {"table": 5}, sid=SID)
        await job.claims.hand_over("", job="AJ_other")
        woken_s = asyncio.get_running_loop().time()
        job.liveness.woken()
        await serving
        assert asyncio.get_running_loop().time() - woken_s < 0.1, "at once, not with the next question"
        assert job.claims.holder == JOB
        assert job.session.output.audio_enabled
        assert not job.deaf
        assert job.transcripts.stored.caller == CALLER, "stored again, as its own"
        assert job.said() == ["When?", "At nine.", "Or ten."]
        assert (job.calls[0].resumed, job.calls[0].kept) == (HANDED_OVER, {"table": 5})
        await asyncio.sleep(2.0)
        assert of(job, Resumed) == [Resumed(HANDED_OVER)]
        assert of(job, Setup) == [], "waiting for its turn is no set-up"
        assert job.loudspeaker.heard == [], "the caller does not notice"
        job.asks("And then?")
        await asyncio.sleep(5.0)
        assert job.said()[-2:] == ["And then?", "Yes, certainly."]
        await job.end()

    run(case())


@pytest.mark.parametrize("wanted", [False, True], ids=["the handoff is over", "nobody hands over"])
def test_a_successor_that_is_not_given_the_call_leaves(wanted: bool) -> None:
    async def case() -> None:
        job = FakeJob(holder="AJ_other", successor=True)
        if wanted:
            job.claims.ready_successor(JOB)
        await job.serve()
        waited_s = asyncio.get_running_loop().time()
        assert waited_s >= SUCCESSION_LIMIT_S + GONE_AFTER_S if wanted else waited_s < 1.0
        assert job.ctx.shutdowns == ["not handed over"]
        await job.end()
        assert job.claims.holder == "AJ_other"
        assert job.sent == []

    run(case())


def test_a_job_that_fails_half_way_gives_its_claim_back() -> None:
    def broken(_: Any) -> Agent:
        raise KeyError("no such table")

    async def case() -> None:
        job = FakeJob(broken, holder=JOB)
        with pytest.raises(KeyError):
            await job.serve()
        await job.end()
        assert job.claims.holder == ""
        assert job.ended == ["claim", "liveness", "channel", "redis"]

    run(case())


def test_without_telemetry_the_main_process_is_not_connected_to() -> None:
    async def case() -> None:
        job = FakeJob(telemetry="off")
        await job.serve()
        await job.end()
        assert not job.channel.connected

    run(case())


def test_a_tier_lets_in_whom_it_names() -> None:
    async def case() -> None:
        job = FakeJob(tier={"text_input": ["web-*"], "session_host": ["desk"]})
        await job.serve()
        assert session_access._guard.access == SessionAccess(("web-*",), ("desk",))
        await job.end()

    run(case())


@pytest.mark.parametrize(
    ("dispatched", "stored", "trace"),
    [("a", "b", "a" * 32), ("", "b", "b" * 32)],
    ids=["of the dispatch", "of the job before"],
)
def test_a_call_goes_on_with_one_trace(dispatched: str, stored: str, trace: str) -> None:
    def header(digit: str) -> str:
        return f"00-{digit * 32}-{digit * 16}-01" if digit else ""

    async def case() -> None:
        job = FakeJob(
            metadata=DispatchMetadata(traceparent=header(dispatched)).encode(),
            stored=CallTranscript("a", [], {}, sid=SID, trace=header(stored)),
            otlp_endpoint="http://127.0.0.1:4318",
        )
        await job.serve()
        await job.end()
        assert {span.record.context.trace for span in of(job, Span)} == {trace}
        assert {"join", "invoke_agent"} <= {span.record.name for span in of(job, Span)}

    run(case())
