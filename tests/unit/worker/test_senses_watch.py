"""The watch over an agent's senses on a real session without a room, in virtual time: what it takes for trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession, utils, vad
from livekit.agents.voice.events import AgentStateChangedEvent
from livekit.agents.voice.io import AudioInput
from livekit.rtc._proto.stats_pb2 import RtcStats

from support.failing_providers import ScriptedVad
from support.fake_job import FakeJob
from support.virtual_time import LoopClock, now_s, run
from voicefleet.local.pcm import voiced_tone
from voicefleet.worker.dead_air.senses import Senses, quiet_at_the_end_s, speech_after_s
from voicefleet.worker.job import parts, sdk
from voicefleet.worker.job.voice import put_gate
from voicefleet.worker.telemetry.observations import ApologySpoken, DeadAir

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("unguarded")]

RATE, FRAME_S = 16_000, 0.05
_VOICE = voiced_tone(FRAME_S, RATE).samples


class Microphone(AudioInput):
    """A frame each 50 ms: of a voice, of silence, or none at all."""

    def __init__(self) -> None:
        super().__init__(label="microphone")
        self.gain, self.hangs = 0, False

    async def __anext__(self) -> rtc.AudioFrame:
        await asyncio.sleep(FRAME_S)
        while self.hangs:
            await asyncio.sleep(FRAME_S)
        part = _VOICE * self.gain
        return rtc.AudioFrame(part.tobytes(), RATE, 1, len(part))


class Judge:
    """Our own voice detector: every moment is speech with this probability."""

    def __init__(self) -> None:
        self.probability, self.asked, self.hangs = 1.0, 0, False
        self._events: utils.aio.Chan[vad.VADEvent] = utils.aio.Chan()

    def stream(self) -> Judge:
        self.asked += 1
        self._events = utils.aio.Chan()
        self._at_s = 0.0
        return self

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        self._at_s += frame.duration
        done = vad.VADEvent(vad.VADEventType.INFERENCE_DONE, 0, self._at_s, 0.0, 0.0, probability=self.probability)
        self._events.send_nowait(done)

    def end_input(self) -> None:
        if not self.hangs:
            self._events.close()

    async def aclose(self) -> None: ...

    def __aiter__(self) -> AsyncIterator[vad.VADEvent]:
        return self._events.__aiter__()


@dataclass
class FakeTrack:
    """Statistics of a track, which grow by so much a second."""

    energy: float = 0.0
    packets: float = 0.0

    async def get_stats(self) -> list[Any]:
        received, sent, source = RtcStats(), RtcStats(), RtcStats()
        received.inbound_rtp.received.packets_received = round(self.packets * now_s())
        sent.outbound_rtp.sent.packets_sent = round(self.packets * now_s())
        source.media_source.audio.total_audio_energy = self.energy * now_s()
        return [received, sent, source]


@dataclass
class Call:
    session: AgentSession[Any]
    microphone: Microphone
    detector: ScriptedVad
    judge: Judge
    senses: Senses
    told: list[str] = field(default_factory=list)
    apologised_s: list[float] = field(default_factory=list)

    async def says(self, seconds: float, *, heard: bool) -> None:
        """The caller says something, and the session hears it or not."""
        self.microphone.gain = 1
        if heard:
            self.detector.began()
        await asyncio.sleep(seconds)
        self.microphone.gain = 0
        if heard:
            self.detector.ended()
        await asyncio.sleep(1.0)

    async def found_s(self, limit_s: float = 20.0) -> float | None:
        """Seconds until there is trouble."""
        began_s = now_s()
        while now_s() - began_s < limit_s:
            if self.senses.trouble:
                return now_s() - began_s
            await asyncio.sleep(0.1)
        return None

    def agent(self, state: Any, before: Any) -> None:
        self.session.emit("agent_state_changed", AgentStateChangedEvent(old_state=before, new_state=state))


def story(tell: Callable[[Call], Any], *, on: bool = True) -> None:
    async def case() -> None:
        detector, microphone, judge = ScriptedVad(), Microphone(), Judge()
        session: AgentSession[Any] = AgentSession(vad=detector)  # type: ignore[arg-type]
        session.input.audio = microphone
        senses = Senses(session, LoopClock(), build_vad=lambda: judge, on=on)  # type: ignore[arg-type,return-value]
        call = Call(session, microphone, detector, judge, senses)
        senses.troubled = lambda: call.told.append(senses.trouble)
        senses.unrepaired = lambda: call.apologised_s.append(now_s())
        senses.watch()
        await session.start(Agent(instructions=""))
        gate = put_gate(session)
        assert gate is not None
        senses.listen(gate)
        senses.begin()
        await asyncio.sleep(2.0)
        await tell(call)
        await senses.end()
        await session.aclose()

    run(case())


def test_a_session_that_stops_to_hear_is_found_within_six_seconds_and_told_of() -> None:
    async def tell(call: Call) -> None:
        await call.says(2.0, heard=True)
        await asyncio.sleep(3.0)
        asking = asyncio.create_task(call.says(2.0, heard=False))
        found_s = await call.found_s()
        assert found_s is not None
        assert found_s < 6.0
        await asyncio.sleep(1.0)
        assert call.told == ["deaf"]
        assert now_s() - (call.senses.troubled_since_s or 0.0) == pytest.approx(found_s + 1.0, abs=0.3)
        await asking
        await call.says(1.0, heard=True)
        assert call.told == ["deaf", ""], "it hears again"

    story(tell)


def test_what_is_switched_off_finds_nothing() -> None:
    async def tell(call: Call) -> None:
        for _ in range(5):
            await call.says(2.0, heard=False)
            call.senses.unheard_turn()
        assert call.judge.asked == 0
        assert call.told == []

    story(tell, on=False)


def test_the_caller_of_a_deaf_agent_whose_call_nobody_takes_is_told_twice() -> None:
    async def tell(call: Call) -> None:
        await call.says(2.0, heard=True)
        began_s = now_s()
        for _ in range(20):
            await call.says(2.0, heard=False)
        assert [round(at_s - began_s) for at_s in call.apologised_s] == [9, 18]

    story(tell)


def test_a_noise_and_a_machine_without_time_are_no_deafness() -> None:
    async def tell(call: Call) -> None:
        await call.says(2.0, heard=True)
        call.judge.probability = 0.3
        for _ in range(10):
            await call.says(2.0, heard=False)
        assert call.judge.asked > 2
        call.judge.probability, call.judge.hangs = 1.0, True
        for _ in range(10):
            await call.says(2.0, heard=False)
        assert call.told == []

    story(tell)


def test_push_to_talk_and_a_turn_that_the_team_claims_are_no_deafness() -> None:
    async def tell(call: Call) -> None:
        await call.says(2.0, heard=True)
        call.session.input.set_audio_enabled(False)
        for _ in range(5):
            await call.says(2.0, heard=False)
        call.session.input.set_audio_enabled(True)
        async with call.session._claim_user_turn():
            call.judge.probability = 0.0
            await asyncio.sleep(20.0)
        assert call.told == []

    story(tell)


@pytest.mark.parametrize(("packets", "found"), [(4.0, True), (0.0, False)], ids=["packets arrive", "none arrive"])
def test_frames_that_stop_are_deafness_while_packets_arrive(
    packets: float, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk, "caller_track", lambda _: FakeTrack(packets=packets))

    async def tell(call: Call) -> None:
        await call.says(2.0, heard=True)
        await asyncio.sleep(20.0)
        assert call.told == []
        call.microphone.hangs = True
        found_s = await call.found_s()
        assert (found_s is not None) == found
        assert found_s is None or found_s < 6.0

    story(tell)


@pytest.mark.parametrize(
    ("track", "found"),
    [(FakeTrack(energy=0.05, packets=50), False), (FakeTrack(packets=50), True), (FakeTrack(energy=0.05), True)],
    ids=["heard", "zeros", "no packets"],
)
def test_an_agent_that_speaks_and_is_not_heard(track: FakeTrack, found: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk, "own_track", lambda _: (track, True))

    async def tell(call: Call) -> None:
        call.session._agent_state = "speaking"
        call.agent("speaking", "listening")
        found_s = await call.found_s()
        assert (found_s is not None) == found
        assert found_s is None or found_s < 6.5
        call.agent("listening", "speaking")
        await asyncio.sleep(1.0)
        assert call.told == (["mute"] if found else [])

    story(tell)


def test_what_we_hold_back_ourselves_is_no_muteness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk, "own_track", lambda _: (FakeTrack(), True))

    async def tell(call: Call) -> None:
        call.senses.held_back = lambda: True
        call.agent("speaking", "listening")
        assert await call.found_s(10.0) is None

    story(tell)


def test_moments_of_speech_and_of_quiet() -> None:
    found = [(10.0 + n / 10, p) for n, p in enumerate([0.9, 0.9, 0.5, 0.9, 0.05, 0.05, 0.0])]
    assert speech_after_s(found, 10.05) == pytest.approx(0.2)
    assert quiet_at_the_end_s(found) == pytest.approx(0.3)
    assert speech_after_s([], 0.0) == quiet_at_the_end_s([]) == 0.0


class DeafJob(FakeJob):
    """A job whose session hears what `detector` says."""

    def __init__(self, **job: Any) -> None:
        self.detector, self.microphone = ScriptedVad(), Microphone()
        super().__init__(**job)

    def make_session(self, tier: Any = None, **options: Any) -> AgentSession[Any]:
        session = super().make_session(tier, **options)
        session._vad = self.detector  # type: ignore[assignment]
        session.input.audio = self.microphone
        return session


def test_a_deaf_job_says_so_in_its_claim_and_counts_as_silent_when_nobody_takes_its_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parts, "build_vad", lambda _: Judge())

    async def case() -> None:
        job = DeafJob()
        await job.serve()
        assert job.session is not None
        await job.session.say("Hello.")
        await asyncio.sleep(2.0)
        job.microphone.gain, began_s = 1, now_s()
        await asyncio.sleep(2.0)
        job.microphone.gain = 0
        while not job.claims.trouble:
            await asyncio.sleep(0.1)
        assert job.claims.trouble == "deaf"
        assert now_s() - began_s < 6.0
        assert [one for one in job.sent if isinstance(one, DeadAir)] == []
        await asyncio.sleep(began_s + 14.0 - now_s())
        assert [one for one in job.sent if isinstance(one, DeadAir)] == [DeadAir(silent=True)]
        assert ApologySpoken("unheard") in job.sent
        job.detector.began()
        await asyncio.sleep(0.5)
        job.detector.ended()
        await asyncio.sleep(2.0)
        assert job.claims.trouble == ""
        await job.end()

    run(case())
