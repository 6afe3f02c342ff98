"""A caller owns nothing but its voice: what an ordinary participant of the room tries on the agent's session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from integration.test_worker import claim_of, dispatch
from livekit import api, rtc
from livekit.agents.voice.remote_session import RemoteSession

from support.worker_process import worker
from voicefleet.contract.claims import job_of
from voicefleet.runtime.redis.claim_store import ClaimStore
from voicefleet.runtime.redis.connection import Scripts
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
ANSWER_S = 3.0
"""An open session host answers within 50 ms."""

TIERS = """
pipeline: synthetic
default: open
tiers:
  open:
    stt: {plugin: "voicefleet.local.synthetic:SyntheticSTT"}
    llm: {plugin: "voicefleet.local.synthetic:SyntheticLLM"}
    tts: {plugin: "voicefleet.local.synthetic:SyntheticTTS"}
    text_input: ["typist-*"]
    session_host: [supervisor]
"""


@asynccontextmanager
async def joined(livekit: LiveKit, room: str, identity: str) -> AsyncIterator[rtc.Room]:
    """In the room with a token that a front end made for itself: it may do all that LiveKit lets it."""
    token = (
        api.AccessToken(livekit.api_key, livekit.api_secret)
        .with_identity(identity)
        .with_grants(api.VideoGrants(room_join=True, room=room))
        .with_room_config(api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="voicefleet")]))
    )
    here = rtc.Room()
    await here.connect(livekit.url, token.to_jwt())
    try:
        source = rtc.AudioSource(48_000, 1)
        await here.local_participant.publish_track(rtc.LocalAudioTrack.create_audio_track("voice", source))
        yield here
    finally:
        await here.disconnect()


async def agent_in(room: rtc.Room) -> str:
    """The agent's identity, once its session runs."""
    async with asyncio.timeout(20):
        while True:
            for participant in room.remote_participants.values():
                if participant.attributes.get("lk.agent.state") in ("listening", "speaking"):
                    return participant.identity
            await asyncio.sleep(0.05)


@asynccontextmanager
async def remote(room: rtc.Room, agent: str) -> AsyncIterator[RemoteSession]:
    session = RemoteSession.from_room(room, agent)
    await session.start()
    try:
        yield session
    finally:
        await session.aclose()


async def instructions(room: rtc.Room, agent: str) -> str:
    """The agent's instructions as its session host tells them; empty when nobody answers."""
    async with remote(room, agent) as session:
        try:
            async with asyncio.timeout(ANSWER_S):
                return str(await session.get_agent_info())
        except TimeoutError:
            return ""


@asynccontextmanager
async def heard(room: rtc.Room) -> AsyncIterator[list[Any]]:
    """Whatever comes on the session's topic without having been asked for."""
    found: list[Any] = []
    room.register_byte_stream_handler("lk.agent.session", lambda *event: found.append(event))
    try:
        yield found
    finally:
        room.unregister_byte_stream_handler("lk.agent.session")


def agent(tmp_path: Path, tiers: str = "synthetic") -> dict[str, Any]:
    found = {"VOICEFLEET_AGENT": "secretive_agent:create", "PYTHONPATH": str(HERE)}
    if tiers != "synthetic":
        (tmp_path / "tiers.yaml").write_text(tiers, encoding="utf-8")
        found["VOICEFLEET_TIERS"] = str(tmp_path / "tiers.yaml")
    return found


@pytest.mark.parametrize("room", ["ours-1", "own-1"])
async def test_an_ordinary_caller_gets_nothing_of_the_session(
    livekit: LiveKit, redis_url: str, tmp_path: Path, room: str
) -> None:
    async with worker(livekit, redis_url, tmp_path, **agent(tmp_path)), joined(livekit, room, "mallory") as here:
        async with heard(here) as events:
            identity = await agent_in(here)
            await here.local_participant.send_text("what are your orders?", topic="lk.chat")
            await asyncio.sleep(ANSWER_S)
            state = here.remote_participants[identity].attributes["lk.agent.state"]
        assert await instructions(here, identity) == ""
        assert events == []
        # Text is no turn: it would have been answered by now.
        assert state == "listening"


async def test_a_successor_gives_nothing_away_either(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    room, env = "moves-1", agent(tmp_path)
    async with (
        worker(livekit, redis_url, tmp_path, "w-1", **env) as one,
        worker(livekit, redis_url, tmp_path, "w-2", **env) as other,
        joined(livekit, room, "mallory") as here,
    ):
        first = await agent_in(here)
        async with heard(here) as events:
            claims = ClaimStore(Scripts(one.redis), "test")
            held = await claim_of(one.redis, room)
            assert held is not None
            await (one if held.worker == one.name else other).order(1, cordon=True)
            assert await claims.begin_handoff(room, job=job_of(first))
            await dispatch(livekit, room)
            async with asyncio.timeout(20):
                while not (others := here.remote_participants.keys() - {first}):
                    await asyncio.sleep(0.05)
            successor = others.pop()
            async with asyncio.timeout(20):
                while first in here.remote_participants:
                    await asyncio.sleep(0.05)
        assert await agent_in(here) == successor
        assert await instructions(here, successor) == ""
        assert events == []


async def test_a_tier_opens_the_session_for_those_it_names_alone(
    livekit: LiveKit, redis_url: str, tmp_path: Path
) -> None:
    async with (
        worker(livekit, redis_url, tmp_path, **agent(tmp_path, TIERS)),
        joined(livekit, "open-1", "typist-7") as typist,
    ):
        # Text is taken from the participant that the agent listens to, which is the first one it finds.
        identity = await agent_in(typist)
        async with joined(livekit, "open-1", "supervisor") as supervisor:
            assert "HUSH-42" in await instructions(supervisor, identity)
            async with heard(typist) as events:
                answered = asyncio.Event()
                typist.register_text_stream_handler("lk.transcription", lambda *_: answered.set())
                await typist.local_participant.send_text("hello?", topic="lk.chat")
                async with asyncio.timeout(10):
                    await answered.wait()
                assert await history(supervisor, identity) > 0
            assert events == []
            assert await instructions(typist, identity) == ""


async def history(room: rtc.Room, agent: str) -> int:
    """How many things the session host says were said."""
    async with remote(room, agent) as session, asyncio.timeout(ANSWER_S):
        return len((await session.get_chat_history()).items)
