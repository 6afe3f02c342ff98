"""An agent in an outbound call: it waits for the answer, and may transfer the phone."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import api, rtc
from livekit.agents import Agent, JobContext

from support.fake_job import JOB, FakeJob
from support.virtual_time import run
from voicefleet.contract.calls import DispatchMetadata
from voicefleet.contract.dials import OUTBOUND
from voicefleet.worker.call import TransferFailedError, current_call
from voicefleet.worker.job.callee import may_speak

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("unguarded")]

SIP = rtc.ParticipantKind.PARTICIPANT_KIND_SIP
STANDARD = rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD
AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
OURS = DispatchMetadata(extra={OUTBOUND: 1}).encode()


def phone(status: str, **more: str) -> Any:
    return SimpleNamespace(
        identity="callee-1",
        kind=SIP,
        attributes={"sip.callStatus": status, **more},
        joined_at=None,
        permissions=SimpleNamespace(can_publish=True, can_publish_sources=[]),
        disconnect_reason=None,
    )


PERSON = SimpleNamespace(identity="ann", kind=STANDARD, attributes={})


@pytest.mark.parametrize(
    ("there", "expected", "may"),
    [
        ([], True, False),
        ([phone("dialing")], True, False),
        ([phone("ringing")], True, False),
        ([phone("automation")], True, False),
        ([phone("active")], True, True),
        ([phone("hangup")], True, False),
        ([PERSON], True, False),  # a supervisor, who waits with the agent
        ([PERSON, phone("active")], True, True),
        ([], False, True),
        ([PERSON], False, True),
        ([phone("ringing")], False, False),  # a team's own dial
        ([PERSON, phone("ringing")], False, True),  # a consult, say
        ([phone("ringing", **{"sip.ruleID": "SDR_1"})], False, True),  # inbound: answered once somebody listens
        ([phone("active")], False, True),
    ],
)
def test_when_the_agent_may_speak(there: list[Any], expected: bool, may: bool) -> None:
    agent = SimpleNamespace(identity="agent-x", kind=AGENT, attributes={})
    assert may_speak([agent, *there], expected=expected) is may


def rings(job: FakeJob, status: str) -> None:
    there = phone(status)
    job.room.remote_participants[there.identity] = there
    job.room.emit("participant_attributes_changed", {}, there)


class Team:
    """A team's file that greets at once."""

    def __init__(self) -> None:
        self.job = FakeJob(entrypoint=self.entrypoint, metadata=OURS, caller="")

    async def entrypoint(self, ctx: JobContext) -> None:
        session = self.job.make_session()
        await session.start(Agent(instructions="Help."), room=ctx.room)
        await session.say("Hello, here is the restaurant.")


def test_the_agent_waits_in_the_room_until_somebody_has_answered() -> None:
    async def case() -> None:
        team = Team()
        serving = asyncio.create_task(team.job.serve())
        await asyncio.sleep(60.0)
        assert team.job.claims.holder == JOB, "the claim is live: the number is dialled now"
        assert len(team.job.claims.renewals) >= 50
        rings(team.job, "ringing")
        await asyncio.sleep(10.0)
        assert team.job.loudspeaker.heard == [], "nobody is spoken to while it rings"
        assert team.job.ctx.shutdowns == []
        rings(team.job, "active")
        await serving
        assert team.job.said() == ["Hello, here is the restaurant."]
        await team.job.end()

    run(case())


def test_a_dial_that_failed_ends_the_job_without_a_word() -> None:
    async def case() -> None:
        team = Team()
        serving = asyncio.create_task(team.job.serve())
        await asyncio.sleep(5.0)
        rings(team.job, "ringing")
        await team.job.room.disconnect(rtc.DisconnectReason.ROOM_DELETED)
        await serving
        assert "nobody answered" in team.job.ctx.shutdowns
        assert team.job.loudspeaker.heard == []
        await team.job.end()
        assert team.job.claims.holder == ""

    run(case())


class Sip:
    """LiveKit's SIP API, as far as a transfer needs it."""

    def __init__(self, refused: int = 0) -> None:
        self.refused = refused
        self.asked: list[Any] = []

    async def transfer_sip_participant(self, request: Any) -> None:
        self.asked.append(request)
        if self.refused:
            meta = {"sip_status_code": str(self.refused), "sip_status": "Busy Here"}
            raise api.ServerError("failed_precondition", "no", status=412, metadata=meta)


async def answered_call(sip: Sip) -> Team:
    team = Team()
    cast(Any, team.job.ctx).api = SimpleNamespace(sip=sip)
    rings(team.job, "active")
    await team.job.serve()
    return team


def test_a_transfer_ends_in_a_released_call() -> None:
    async def case() -> None:
        sip = Sip()
        team = await answered_call(sip)
        call = current_call()
        assert call is not None
        await call.transfer_to("+4930123456", play_dialtone=True)
        (asked,) = sip.asked
        assert (asked.participant_identity, asked.transfer_to) == ("callee-1", "tel:+4930123456")
        await asyncio.sleep(5.0)
        assert team.job.ctx.shutdowns
        await team.job.end()

    run(case())


def test_a_transfer_that_is_refused_leaves_the_call_as_it_was() -> None:
    async def case() -> None:
        team = await answered_call(Sip(refused=486))
        call = current_call()
        assert call is not None
        with pytest.raises(TransferFailedError) as refused:
            await call.transfer_to("sip:desk@example.com")
        assert refused.value.sip_status_code == 486
        with pytest.raises(TransferFailedError, match="no number"):
            await call.transfer_to("the desk")
        assert team.job.ctx.shutdowns == []
        await team.job.end()

    run(case())
