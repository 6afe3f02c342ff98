"""A speech-to-speech model without STT and TTS as a job of the worker's real code, in virtual time."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession
from livekit.agents.llm import ChatContext, RealtimeError

from support.fake_job import SID, FakeJob, RoomlessSession, SilentInput
from support.fake_realtime import FakeRealtimeModel
from support.loudspeaker import Loudspeaker
from support.virtual_time import now_s, run
from voicefleet.local.pcm import voiced_tone
from voicefleet.worker.agents import Assistant
from voicefleet.worker.conversation.resume import Opening, spoken_by_model
from voicefleet.worker.conversation.transcript import CallTranscript
from voicefleet.worker.providers.limits import limit_realtime
from voicefleet.worker.telemetry.observations import ApologySpoken, Greeting, TranscriptLost, Turn

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("unguarded")]

ASKED = {"type": "message", "id": "i1", "role": "user", "content": ["When?"], "created_at": 1.0}
TOLD = {"type": "message", "id": "i2", "role": "assistant", "content": ["We open at nine."], "created_at": 2.0}
BEFORE = CallTranscript("b", [ASKED, TOLD], {}, sid=SID)


class _WallClock(Loudspeaker):
    """Livekit-agents places what a realtime model said by the wall clock of its first sound."""

    def on_playback_started(self, *, created_at: float) -> None:
        super().on_playback_started(created_at=time.time())


class RealtimeJob(FakeJob):
    """A job whose agent brings the model, on a session of nothing else. `folder` has its faults and notes."""

    def __init__(self, folder: Path, *, faults: dict[str, str] | None = None, **job: Any) -> None:
        self.folder = folder
        self.fails(**faults or {})
        self.model = FakeRealtimeModel(faults_file=str(folder / "faults"), notes_file=str(folder / "notes"))
        super().__init__(lambda _: self.agent(), **job)
        self.loudspeaker = _WallClock()

    def agent(self) -> Agent:
        agent = Assistant("Hello, how can I help you?")
        agent._llm = self.model
        return agent

    def make_session(self, tier: Any = None, **_: Any) -> AgentSession[Any]:
        self.tier = tier.name if tier is not None else ""
        self.session = RoomlessSession(llm=self.model, user_away_timeout=None)
        self.session.output.audio, self.session.input.audio = self.loudspeaker, SilentInput()
        return self.session

    def fails(self, **faults: str) -> None:
        (self.folder / "faults").write_text(json.dumps(faults))

    def asked(self, what: str = "generate_reply") -> list[dict[str, Any]]:
        notes = (self.folder / "notes").read_text().splitlines()
        return [note for line in notes if (note := json.loads(line))["what"] == what]

    def speaks(self, seconds: float = 1.0) -> None:
        """The caller speaks, and is silent again."""
        for loud in (True, False):
            samples = voiced_tone(seconds, 16_000).samples * loud
            for start in range(0, len(samples), 800):
                part = samples[start : start + 800]
                self.model.sessions[-1].push_audio(rtc.AudioFrame(part.tobytes(), 16_000, 1, len(part)))

    def of(self, kind: type[Any]) -> list[Any]:
        return [one for one in self.sent if isinstance(one, kind)]


def story(tell: Callable[[RealtimeJob], Any], folder: Path, **job: Any) -> None:
    async def case() -> None:
        told = RealtimeJob(folder, **job)
        await told.serve()
        await tell(told)
        await told.end()

    run(case())


def test_it_greets_answers_and_is_measured(tmp_path: Path) -> None:
    async def tell(job: RealtimeJob) -> None:
        await asyncio.sleep(5.0)
        assert job.said() == ["Hello, this is the realtime agent."]
        assert [greeting.result for greeting in job.of(Greeting)] == ["ok"]
        job.speaks()
        await asyncio.sleep(6.0)
        assert job.said()[1:] == ["What are your opening hours?", "We are open from nine to five."]
        assert len(job.loudspeaker.heard) == 2
        assert job.of(ApologySpoken) == []

    story(tell, tmp_path)


def test_a_turn_has_its_time_and_the_model_s_first_audio(tmp_path: Path) -> None:
    async def tell(job: RealtimeJob) -> None:
        await asyncio.sleep(5.0)
        for _ in range(2):
            job.speaks()
            await asyncio.sleep(6.0)
        turns = job.of(Turn)
        assert [turn.outcome for turn in turns] == ["completed", "completed"]
        assert all(timing.provider == "voicefleet-tests" for turn in turns for timing in turn.stages[:1])
        assert {timing.stage for turn in turns for timing in turn.stages} >= {"llm_ttft"}

    story(tell, tmp_path)


def test_a_recovered_call_is_taken_up_by_an_instruction_and_knows_what_was_said(tmp_path: Path) -> None:
    async def tell(job: RealtimeJob) -> None:
        await asyncio.sleep(6.0)
        (asked,) = job.asked()
        assert "Say exactly this" in asked["instructions"]
        assert "We open at nine." in asked["instructions"]
        assert ["When?", "We open at nine."] in [note["texts"] for note in job.asked("update_chat_ctx")]
        assert len(job.loudspeaker.heard) == 1
        assert job.said()[:2] == ["When?", "We open at nine."]

    story(tell, tmp_path, stored=BEFORE)


@pytest.mark.parametrize("fault", ["stall", "hang", "raise"])
def test_a_model_that_does_not_take_the_conversation_costs_no_call(fault: str, tmp_path: Path) -> None:
    async def tell(job: RealtimeJob) -> None:
        assert now_s() < 4.0, "the call waited for the model's acknowledgement"
        await asyncio.sleep(6.0)
        assert job.claims.holder
        assert job.of(TranscriptLost) == [TranscriptLost("not_taken")] * len(job.of(TranscriptLost))
        assert job.of(TranscriptLost)
        assert len(job.loudspeaker.heard) == 1, "it goes on all the same"
        job.fails()
        job.speaks()
        await asyncio.sleep(6.0)
        assert len(job.loudspeaker.heard) == 2

    story(tell, tmp_path, stored=BEFORE, faults={"update_chat_ctx": fault})


def test_the_model_of_a_second_agent_is_held_to_the_same(tmp_path: Path) -> None:
    async def tell(job: RealtimeJob) -> None:
        await asyncio.sleep(5.0)
        assert job.of(TranscriptLost) == []
        job.fails(update_chat_ctx="hang")
        assert job.session is not None
        second = Assistant("Hello, how can I help you?")
        second._llm = job.model = FakeRealtimeModel(faults_file=str(tmp_path / "faults"))
        job.session.update_agent(second)
        await asyncio.sleep(8.0)
        assert TranscriptLost("not_taken") in job.of(TranscriptLost)
        assert job.session.current_agent is second
        assert len(job.loudspeaker.heard) == 2, "it greets"

    story(tell, tmp_path)


def test_a_reply_that_does_not_come_is_apologised_for_by_the_recording(tmp_path: Path) -> None:
    async def tell(job: RealtimeJob) -> None:
        await asyncio.sleep(9.0)
        assert job.of(ApologySpoken) == [ApologySpoken("greeting")]
        assert len(job.loudspeaker.heard) == 1

    story(tell, tmp_path, faults={"generate_reply": "refuse"})


def test_a_session_that_expires_is_a_crash_and_no_release(tmp_path: Path) -> None:
    async def tell(job: RealtimeJob) -> None:
        await asyncio.sleep(5.0)
        job.fails(session="expire")
        job.speaks(0.1)
        await asyncio.sleep(2.0)
        assert job.ctx.shutdowns
        await job.end()
        assert job.claims.holder == ""
        assert job.claims.released is None

    story(tell, tmp_path)


def test_what_a_model_is_told_to_say() -> None:
    assert spoken_by_model(Opening("")) == ""
    assert spoken_by_model(Opening("Here I am.")) == 'Say exactly this, in the language it is in: "Here I am."'
    both = spoken_by_model(Opening("Sorry.", answer=True))
    assert both.endswith("Then: Answer what the caller said last.")
    assert spoken_by_model(Opening("", answer=True)) == "Answer what the caller said last."


def test_every_failure_to_take_the_conversation_is_the_error_that_livekit_expects(tmp_path: Path) -> None:
    async def case() -> None:
        for fault, took_s in (("", 0.0), ("raise", 0.0), ("stall", 2.5), ("hang", 2.5)):
            (tmp_path / "faults").write_text(json.dumps({"update_chat_ctx": fault}))
            model, failed = FakeRealtimeModel(faults_file=str(tmp_path / "faults")), list[Exception]()
            for _ in range(2):  # A second time changes nothing.
                limit_realtime(model, 2.5, failed.append)
            session, began_s = model.session(), now_s()
            if not fault:
                await session.update_chat_ctx(ChatContext.empty())
            else:
                with pytest.raises(RealtimeError):
                    await session.update_chat_ctx(ChatContext.empty())
            assert now_s() - began_s == pytest.approx(took_s)
            assert len(failed) == bool(fault)
            await asyncio.sleep(10.0)
            await model.aclose()

    run(case())
