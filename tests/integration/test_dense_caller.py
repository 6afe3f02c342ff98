"""The Go engine on a real livekit-server: outcomes as the Python SDK's, true times, and rooms left in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from livekit import api, rtc

from support.echo_agent import token, voice_like
from support.eventually import eventually
from support.played_agents import Deaf, PlayedAgents
from voicefleet.callers.caller import Caller, CallerSettings
from voicefleet.callers.dense.engine import DenseEngine
from voicefleet.callers.engines import with_engine
from voicefleet.callers.health import GeneratorHealth
from voicefleet.callers.native import NativeEngine
from voicefleet.callers.port import CallerEngine, ClientSettings
from voicefleet.callers.swarm import SwarmSettings, run_swarm
from voicefleet.contract.api import CallTicket
from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.speech.background import noise
from voicefleet.speech.clips import load_utterances
from voicefleet.speech.onset_detector import Samples
from voicefleet.stack.servers import LiveKit

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("caller_program")]

CLIPS = load_utterances()
RATE = 48_000


def ticket_of(livekit: LiveKit, room: str, who: str, *, agent: bool = False) -> CallTicket:
    jwt = token(livekit.api_key, livekit.api_secret, room, who, agent=agent)
    return CallTicket(url=livekit.url, token=jwt, room=room, region="test")


async def test_calls_are_held_answered_timed_and_left(livekit: LiveKit) -> None:
    rooms = [f"dense-{uuid4().hex[:8]}" for _ in range(3)]
    async with DenseEngine() as engine, PlayedAgents(livekit, rooms, says=CLIPS[12]) as agents:

        async def place(number: int) -> CallTicket:
            return agents.tickets[number]

        settings = SwarmSettings(turns=2, caller=CallerSettings(engine=engine))
        swarm = run_swarm([0.0, 0.1, 0.2], place, CLIPS, settings, on_event=agents.on_event(settings, CLIPS))
        async with aclosing(swarm):
            outcomes = [outcome async for outcome in swarm]
        health = await with_engine(GeneratorHealth(0.0, 0.0, 0.0), engine, 10.0)
        counts = engine.counts
    for outcome in outcomes:
        assert outcome.error is None
        assert (outcome.silent, outcome.cut, outcome.double_speech, outcome.answered) == (False, False, 0, True)
        kinds = [kind for _, kind in outcome.events]
        assert kinds == ["joined", "agent_joined", "agent_audio", "greeting"] + ["asked", "reply"] * 2 + ["hangup"]
        # No voice but those that were said: no comfort noise, no tail of an answer.
        assert len(outcome.voices) == 3
        for error_s in agents.errors_s(outcome):
            # On a quiet machine 1 ms; tests share theirs.
            assert abs(error_s) < 0.15
    assert health.pacing_p99_s is not None
    assert health.cpu_share > 0
    assert counts.packets > 300
    assert counts.broken == 0


async def test_noise_music_and_a_tail_are_no_voice_to_either_ear(livekit: LiveKit) -> None:
    """Comfort noise on the agent's microphone, music on another track of its, and one utterance that fades away."""
    room_name = f"dense-{uuid4().hex[:8]}"
    both = [Deaf(), Deaf()]
    async with DenseEngine() as engine, agent_room(livekit, room_name) as room:
        noise = np.random.default_rng(1).normal(0, 32768 * 10 ** (-56 / 20), RATE)
        tail = voice_like(1.5) * np.exp(-np.linspace(0, 12, int(1.5 * RATE)))
        fading = np.concatenate((voice_like(0.6), tail.astype(np.int16)))
        speech = np.concatenate((noise, noise, fading + np.resize(noise, fading.size), noise)).astype(np.int16)
        music = (voice_like(4.0, pitch_hz=220.0) * 0.5).astype(np.int16)
        engines: list[CallerEngine] = [engine, NativeEngine()]
        clients = [
            one.client(name, ticket_of(livekit, room_name, name), heard, ClientSettings(10.0), SystemClock())
            for one, name, heard in zip(engines, ("go", "python"), both, strict=True)
        ]
        for client in clients:
            assert await client.join() is None
        await asyncio.gather(
            play(room, speech, rtc.TrackSource.SOURCE_MICROPHONE), play(room, music, rtc.TrackSource.SOURCE_UNKNOWN)
        )
        await asyncio.gather(*(client.leave() for client in clients))
        counted = engine.counts
    assert counted.packets > 50
    assert [len(heard.began_s) for heard in both] == [1, 1]


@pytest.mark.parametrize("make", [DenseEngine, lambda: contextlib.nullcontext(NativeEngine())], ids=["go", "python"])
async def test_keys_and_noise_reach_an_agent_whoever_holds_the_call(
    livekit: LiveKit, make: Callable[[], contextlib.AbstractAsyncContextManager[CallerEngine]]
) -> None:
    room_name = f"dense-{uuid4().hex[:8]}"
    room_noise = noise(10.0, np.random.default_rng(1))
    pressed: list[str] = []
    levels: list[float] = []
    async with make() as engine, agent_room(livekit, room_name) as room:
        room.on("sip_dtmf_received", lambda dtmf: pressed.append(dtmf.digit))
        listening = asyncio.create_task(hear(room, levels))
        client = engine.client(
            "c", ticket_of(livekit, room_name, "caller"), Deaf(), ClientSettings(10.0, room_noise), SystemClock()
        )
        assert await client.join() is None
        await client.publish()
        await eventually(lambda: len(levels) > 10)
        await client.press("1*#")
        await asyncio.sleep(2.0)
        quiet, before = levels[-75:], len(levels)
        await client.say(CLIPS[0])
        await client.until_silent()
        words = levels[before:]
        await client.leave()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    assert pressed == ["1", "*", "#"]
    wanted = float(np.sqrt(np.mean(room_noise.astype(float) ** 2)))
    assert 0.4 < np.median(quiet) / wanted < 1.6
    assert np.median(words) > 1.5 * np.median(quiet)


async def hear(room: rtc.Room, levels: list[float]) -> None:
    """Keep the level of each 20 ms of the caller's voice."""
    tracks: asyncio.Queue[rtc.Track] = asyncio.Queue()
    room.on("track_subscribed", lambda track, _publication, _who: tracks.put_nowait(track))
    stream = rtc.AudioStream(await tracks.get(), sample_rate=16_000, num_channels=1, frame_size_ms=20)
    async for event in stream:
        pcm = np.frombuffer(event.frame.data, dtype=np.int16).astype(float)
        levels.append(float(np.sqrt(np.mean(pcm**2))))


@contextlib.asynccontextmanager
async def agent_room(livekit: LiveKit, name: str) -> AsyncIterator[rtc.Room]:
    room = rtc.Room()
    await room.connect(livekit.url, token(livekit.api_key, livekit.api_secret, name, "agent", agent=True))
    try:
        yield room
    finally:
        await room.disconnect()


async def play(room: rtc.Room, pcm: Samples, source: rtc.TrackSource.ValueType) -> None:
    audio = rtc.AudioSource(RATE, 1, queue_size_ms=100)
    track = rtc.LocalAudioTrack.create_audio_track("sound", audio)
    await room.local_participant.publish_track(track, rtc.TrackPublishOptions(source=source))
    await asyncio.sleep(0.5)
    size = RATE // 100
    for at in range(0, pcm.size - size + 1, size):
        await audio.capture_frame(rtc.AudioFrame(pcm[at : at + size].tobytes(), RATE, 1, size))
    await asyncio.sleep(0.5)
    await audio.aclose()


async def test_a_refused_token_is_an_outcome_that_does_not_tell_the_token(livekit: LiveKit) -> None:
    forged = token(livekit.api_key, "x" * 40, "room", "caller", agent=False)
    bad = CallTicket(url=livekit.url, token=forged, room="room", region="test")
    async with DenseEngine() as engine:
        outcome = await Caller("c", bad, (), CallerSettings(engine=engine)).run()
    assert outcome.error is not None
    assert outcome.error.startswith("connect: ")
    assert forged not in outcome.error
    assert (outcome.answered, outcome.joined_at_s, outcome.silent) == (False, None, False)


async def test_a_caller_program_that_is_killed_breaks_its_calls(livekit: LiveKit) -> None:
    async with DenseEngine() as engine:
        joined = asyncio.Event()
        caller = Caller(
            "c",
            ticket_of(livekit, f"dense-{uuid4().hex[:8]}", "caller"),
            (),
            CallerSettings(engine=engine),
            on_event=lambda _call, kind, _t, _data: joined.set() if kind == "joined" else None,
        )
        call = asyncio.create_task(caller.run())
        await asyncio.wait_for(joined.wait(), 10)
        os.kill(engine.pid, signal.SIGKILL)
        outcome = await asyncio.wait_for(call, 10)
    assert "voicefleet-caller ended" in str(outcome.error)
    assert (outcome.cut, outcome.silent) == (False, False)


ORCHESTRATOR = """
import asyncio, sys
from support.played_agents import Deaf
from voicefleet.callers.dense.engine import DenseEngine
from voicefleet.callers.port import ClientSettings
from voicefleet.contract.api import CallTicket
from voicefleet.runtime.clock import SystemClock

async def main() -> None:
    tickets = [CallTicket.model_validate_json(line) for line in sys.stdin]
    async with DenseEngine() as engine:
        for i, ticket in enumerate(tickets):
            client = engine.client(str(i), ticket, Deaf(), ClientSettings(10.0), SystemClock())
            assert await client.join() is None
        print("all in", engine.pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
async def test_an_orchestrator_that_goes_leaves_no_caller_behind(livekit: LiveKit, how: signal.Signals) -> None:
    rooms = [f"dense-{uuid4().hex[:8]}" for _ in range(3)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        ORCHESTRATOR,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**environment(), "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for room in rooms:
        process.stdin.write(ticket_of(livekit, room, "caller").model_dump_json().encode() + b"\n")
    process.stdin.close()
    said = (await asyncio.wait_for(process.stdout.readline(), 30)).split()
    assert said[:2] == [b"all", b"in"]
    caller_pid = int(said[2])
    async with api.LiveKitAPI(livekit.http_url, livekit.api_key, livekit.api_secret) as lk:

        async def inside() -> int:
            found = [await lk.room.list_participants(api.ListParticipantsRequest(room=room)) for room in rooms]
            return sum(len(one.participants) for one in found)

        assert await inside() == 3
        process.send_signal(how)
        await asyncio.wait_for(process.wait(), 20)
        # In order: a caller that merely vanishes stays in its room for many seconds.
        async with asyncio.timeout(5):
            while await inside():
                await asyncio.sleep(0.1)
    await eventually(lambda: not Path(f"/proc/{caller_pid}").exists())
