"""Work is no boundary: a job whose call works keeps it up to the drain's limit, and the successor is told what was cut.
The agent that has the call is the successor's too, and a caller that reloads its page finds the call as it was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession, AgentTask, CloseReason, RunContext, function_tool
from livekit.agents.llm import ChatMessage

from support.fake_job import CALLER, JOB, FakeJob
from support.virtual_time import run
from voicefleet.contract.call_events import CallSummary
from voicefleet.worker.call import CallContext, current_call
from voicefleet.worker.conversation.agent_recipe import remember_arguments
from voicefleet.worker.conversation.call_end import HOOK_LIMIT_S
from voicefleet.worker.conversation.transcript import CallTranscript
from voicefleet.worker.job import sdk_work
from voicefleet.worker.telemetry.observations import HandoffHeld, HookFailed, Resumed

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("unguarded")]

OTHER = "AJ_other"
LEFT = rtc.DisconnectReason.CLIENT_INITIATED


@pytest.fixture(autouse=True, scope="module")
def remembering() -> None:
    remember_arguments()


class Desk(Agent):
    """The first agent; its tools work for a while, or pass the call on."""

    def __init__(self) -> None:
        super().__init__(instructions="Help.")
        self.booked: list[str] = []

    @function_tool
    async def book(self, name: str = "Ada") -> str:
        """Book."""
        await asyncio.sleep(10.0)
        self.booked.append(name)
        return "booked"

    @function_tool
    async def search(self, context: RunContext[Any], name: str = "Ada") -> str:
        """Search, beside the conversation."""
        await context.update("I am looking.")
        await asyncio.sleep(10.0)
        return "found"

    @function_tool
    async def bill(self) -> Agent:
        """Pass on to billing."""
        return Billing("gold")


class Parting(Desk):
    async def on_exit(self) -> None:
        raise AssertionError("it never had the call")


class Billing(Agent):
    def __init__(self, plan: str) -> None:
        super().__init__(instructions=f"Bill {plan}.")
        self.plan, self.kept = plan, dict[str, Any]()
        self.entered = 0
        self.why: list[str] = []

    async def on_enter(self) -> None:
        self.entered += 1
        self.kept["asked"] = 1


class Closing(Billing):
    async def on_resume(self, why: str) -> None:
        self.why.append(why)


class Consent(AgentTask[bool]):
    def __init__(self) -> None:
        super().__init__(instructions="Ask.")

    async def on_enter(self) -> None:
        self.session.say("May we record?")


class Asking(Agent):
    """It asks in its `on_enter`, and cannot go on without an answer."""

    def __init__(self) -> None:
        super().__init__(instructions="Help.")
        self.asked = 0

    async def on_enter(self) -> None:
        self.asked += 1
        await Consent()


def calls(tool: str) -> Any:
    """An LLM that calls `tool` once, and then has words for everything."""
    called: list[str] = []

    async def script(send: Callable[..., None]) -> None:
        if called:
            send("Yes, certainly.")
            return
        called.append(tool)
        send(tool=tool)

    return script


async def working(factory: Callable[[CallContext], Any], **more: Any) -> FakeJob:
    job = FakeJob(factory, **more)
    await job.serve()
    await asyncio.sleep(2.0)
    return job


async def wanted(job: FakeJob, after_s: float = 1.5) -> None:
    """A successor is ready, and stays so for a while."""
    job.claims.ready_successor(OTHER)
    job.liveness.woken()
    await asyncio.sleep(after_s)


@pytest.mark.parametrize("tool", ["book", "search"])
def test_a_handoff_waits_for_a_tool_and_for_its_reply(tool: str) -> None:
    async def case() -> None:
        job = await working(lambda _: Desk(), script=calls(tool))
        job.asks("Do it.")
        await asyncio.sleep(5.0)
        await wanted(job)
        assert job.claims.holder == JOB
        assert job.transcripts.stored is not None
        assert list(job.transcripts.stored.work) == [f"tool {tool}"], "if the job dies now, the next one is told"
        await asyncio.sleep(15.0)
        assert job.claims.holder == OTHER
        assert list(job.transcripts.stored.work) == []
        assert job.said()[-1] == "Yes, certainly.", "the reply to what the tool found was said"
        assert HandoffHeld("tool", "waited") in job.sent
        assert HandoffHeld("tool", "cut") not in job.sent
        await job.end()

    run(case())


def test_at_the_drain_s_limit_the_call_moves_and_what_is_cut_is_stored() -> None:
    async def case() -> None:
        job = await working(lambda _: Desk(), drain_timeout_s=10)
        call = current_call()
        assert call is not None

        async def booking() -> None:
            async with call.busy("booking"):
                await asyncio.sleep(100.0)

        task = asyncio.create_task(booking())
        await asyncio.sleep(0.1)
        await wanted(job, 4.5)
        assert job.claims.holder == JOB
        await asyncio.sleep(2.0)
        assert job.claims.holder == OTHER
        assert job.transcripts.stored is not None
        assert job.transcripts.stored.work == ("booking",)
        assert HandoffHeld("marked", "cut") in job.sent
        task.cancel()
        await job.end()

    run(case())


def before(**more: Any) -> CallTranscript:
    said = ChatMessage(role="assistant", content=["Which day?"], id="i1", created_at=0.0)
    return CallTranscript("a", [said.model_dump(exclude={"metrics"})], sid="RM_1", caller=CALLER, **more)


def test_a_recovered_job_s_agent_and_llm_know_what_was_cut() -> None:
    async def case() -> None:
        job = await working(lambda _: Desk(), stored=before(work=("tool book",)))
        assert job.calls[0].cut == ["tool book"]
        assert job.session is not None
        told = [item for item in job.session.current_agent.chat_ctx.messages() if item.role == "system"]
        assert [("tool book" in (item.text_content or "")) for item in told][-1:] == [True]
        await asyncio.sleep(5.0)
        assert len(job.loudspeaker.heard) == 1, "it said sorry"
        await job.end()

    run(case())


def test_the_agent_that_had_the_call_has_it_again_with_what_it_kept() -> None:
    async def case() -> None:
        old = await working(lambda _: Desk(), script=calls("bill"))
        old.asks("My bill.")
        await asyncio.sleep(5.0)
        assert old.session is not None
        assert isinstance(old.session.current_agent, Billing)
        old.asks("And?")
        await asyncio.sleep(5.0)
        stored = old.transcripts.stored
        await old.end()
        assert stored is not None
        new = await working(lambda _: Desk(), stored=stored)
        assert new.session is not None
        agent = new.session.current_agent
        assert isinstance(agent, Billing)
        assert (agent.plan, agent.kept, agent.entered) == ("gold", {"asked": 1}, 0)
        assert Resumed("recovered") in new.sent
        await new.end()

    run(case())


def test_a_successor_changes_to_the_agent_that_had_the_call_in_the_end_and_asks_its_on_resume() -> None:
    async def case() -> None:
        job = FakeJob(lambda _: Parting(), stored=before(), successor=True, holder=OTHER)
        job.claims.ready_successor(JOB)
        serving = asyncio.create_task(job.serve())
        await asyncio.sleep(2.0)
        assert job.session is not None
        assert isinstance(job.session.current_agent, Desk)
        recipe = {"class": f"{__name__}:Closing", "args": [{"json": "gold"}], "kept": {"asked": 3}}
        job.transcripts.stored = before(agent=recipe, work=("tool book",))
        job.claims.holder, job.claims.handoff = JOB, None
        job.liveness.woken()
        await asyncio.sleep(1.0)
        await serving
        agent = job.session.current_agent
        assert isinstance(agent, Closing)
        assert (agent.kept, agent.entered, agent.why) == ({"asked": 3}, 0, ["handed_over"])
        assert job.calls[0].cut == ["tool book"]
        assert "Which day?" in str(agent.chat_ctx.items)
        await job.end()

    run(case())


def test_a_task_holds_the_call_and_after_a_crash_it_is_asked_for_again() -> None:
    async def case() -> None:
        old = await working(lambda _: Asking())
        await wanted(old)
        assert old.claims.holder == JOB
        stored = old.transcripts.stored
        assert stored is not None
        assert stored.work == ("task Consent",)
        assert stored.agent == {"entering": True}
        old.claims.handoff = None
        await old.end()
        agents: list[Asking] = []

        def made(_: CallContext) -> Agent:
            agents.append(Asking())
            return agents[-1]

        new = await working(made, stored=stored)
        assert new.session is not None
        assert isinstance(new.session.current_agent, Consent)
        assert agents[0].asked == 1
        assert new.said() == ["May we record?", "May we record?"]
        await new.end()

    run(case())


@dataclass
class Form:
    name: str = ""


def test_userdata_that_changed_goes_on() -> None:
    async def case() -> None:
        job = await working(lambda _: (Desk(), {"userdata": Form()}))
        assert job.session is not None
        job.session.userdata.name = "Ada"
        job.asks("When?")
        await asyncio.sleep(5.0)
        stored = job.transcripts.stored
        await job.end()
        new = await working(lambda _: (Desk(), {"userdata": Form()}), stored=stored)
        assert new.session is not None
        assert new.session.userdata == Form("Ada")
        await new.end()

    run(case())


class Closed:
    """A session whose room options let a caller end it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.why: list[CloseReason] = []
        patch.setattr(sdk_work, "take_over_leaving", lambda _: True)
        patch.setattr(sdk_work, "close_as_left", self._close)

    def _close(self, session: AgentSession[Any]) -> None:
        self.why.append(CloseReason.PARTICIPANT_DISCONNECTED)
        session._close_soon(reason=CloseReason.PARTICIPANT_DISCONNECTED)


def test_a_page_that_reloads_finds_the_call_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    async def case() -> None:
        closed = Closed(monkeypatch)
        job = await working(lambda _: Desk())
        job.asks("When?")
        await asyncio.sleep(5.0)
        job.room.leaves(CALLER, LEFT)
        await asyncio.sleep(3.0)
        assert len(job.loudspeaker.heard) == 1
        job.room.joins(CALLER)
        await asyncio.sleep(5.0)
        assert len(job.loudspeaker.heard) == 2, "its last sentence once more: somebody is there"
        assert Resumed("returned") in job.sent
        job.asks("And then?")
        await asyncio.sleep(30.0)
        assert (job.ctx.shutdowns, closed.why) == ([], [])
        assert job.said() == ["When?", "Yes, certainly.", "And then?", "Yes, certainly."]
        assert job.transcripts.stored is not None
        assert len(job.transcripts.stored.items) == 4, "what is said after the return is stored as before"
        await job.end()

    run(case())


def test_a_caller_that_hangs_up_frees_the_slot_soon_and_may_be_back_a_while_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def case() -> None:
        closed = Closed(monkeypatch)
        job = await working(lambda _: Desk())
        job.asks("When?")
        await asyncio.sleep(5.0)
        job.room.leaves(CALLER, LEFT)
        await asyncio.sleep(5.1)
        assert closed.why == [CloseReason.PARTICIPANT_DISCONNECTED]
        assert job.ctx.shutdowns == ["session closed"]
        await job.end()
        stored = job.transcripts.stored
        assert stored is not None
        assert stored.left_s > 0
        assert job.transcripts.ttl_s == pytest.approx(15.0, abs=0.5)
        back = await working(lambda _: Desk(), stored=stored)
        assert back.calls[0].resumed == "returned"
        assert len(back.loudspeaker.heard) == 1, "its last sentence"
        assert back.transcripts.stored is not None
        await back.end()

    run(case())


def test_a_second_tab_replaces_the_first_and_hears_that_somebody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    async def case() -> None:
        closed = Closed(monkeypatch)
        job = await working(lambda _: Desk())
        job.asks("When?")
        await asyncio.sleep(5.0)
        job.room.leaves(CALLER, None)
        job.room.joins(CALLER)
        await asyncio.sleep(30.0)
        assert (job.ctx.shutdowns, closed.why) == ([], [])
        assert len(job.loudspeaker.heard) == 2
        await job.end()

    run(case())


def test_who_hangs_up_a_telephone_is_gone_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def case() -> None:
        closed = Closed(monkeypatch)
        job = await working(lambda _: Desk())
        job.room.remote_participants[CALLER].kind = rtc.ParticipantKind.PARTICIPANT_KIND_SIP
        job.room.leaves(CALLER, LEFT)
        await asyncio.sleep(0.1)
        assert closed.why == [CloseReason.PARTICIPANT_DISCONNECTED]
        await job.end()
        assert job.transcripts.stored is None

    run(case())


class Told(Desk):
    """It tells somebody of each call, once."""

    def __init__(self, told: list[Any], *, raises: bool = False, hangs: bool = False) -> None:
        super().__init__()
        self._told, self._raises, self._hangs = told, raises, hangs

    async def on_call_end(self, summary: CallSummary) -> None:
        self._told.append(summary.duration_s)
        if self._raises:
            raise RuntimeError("no")
        if self._hangs:
            await asyncio.sleep(1000.0)


def test_the_last_job_runs_on_call_end_and_no_other_does() -> None:
    async def case() -> None:
        told: list[Any] = []
        moved = await working(lambda _: Told(told))
        await wanted(moved, 5.0)
        assert moved.claims.holder == OTHER
        await moved.end()
        died = await working(lambda _: Told(told))
        await died.end()  # its caller is there
        assert told == []
        last = await working(lambda _: Told(told))
        last.room.leaves(CALLER, None)
        await last.end()
        assert told == [9.0]
        again = await working(lambda _: Told(told))
        again.logs.asked = 1
        again.room.leaves(CALLER, None)
        await again.end()
        assert told == [9.0], "another job has run it"
        assert HookFailed("on_call_end") not in [*last.sent, *again.sent]

    run(case())


@pytest.mark.parametrize("how", [{"raises": True}, {"hangs": True}])
def test_a_hook_that_raises_or_hangs_is_counted_and_the_job_ends(how: dict[str, bool]) -> None:
    async def case() -> None:
        told: list[Any] = []
        job = await working(lambda _: Told(told, **how))
        job.room.leaves(CALLER, None)
        async with asyncio.timeout(HOOK_LIMIT_S + 5.0):
            await job.end()
        assert told == [9.0]
        assert HookFailed("on_call_end") in job.sent
        assert job.claims.holder == "", "the claim is given back all the same"

    run(case())


def test_a_hook_given_to_the_call_runs_where_the_agent_has_none() -> None:
    async def case() -> None:
        told: list[Any] = []
        job = await working(lambda _: Desk())
        job.calls[0].on_call_end(lambda summary: told.append(summary.room))
        job.room.leaves(CALLER, None)
        await job.end()
        assert told == ["room-1"]

    run(case())


def test_with_redis_away_on_call_end_is_not_called_and_counted() -> None:
    async def case() -> None:
        told: list[Any] = []
        job = await working(lambda _: Told(told))
        job.logs.away = True
        job.room.leaves(CALLER, None)
        await job.end()
        assert told == []
        assert HookFailed("on_call_end") in job.sent

    run(case())
