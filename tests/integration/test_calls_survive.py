"""A call outlives its job: real workers, the controller's part played by hand through the same scripts and API."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from integration.test_worker import call, claim_of, dispatch
from livekit import api, rtc
from livekit.protocol.models import DataPacket
from redis.asyncio import Redis as RedisClient

from support.eventually import eventually, happens
from support.worker_process import KEYS, WorkerProcess, worker
from voicefleet.callers.outcome import CallOutcome
from voicefleet.contract.calls import CallOrder, DispatchMetadata
from voicefleet.contract.claims import Claim, ClaimState, agent_identity, job_of
from voicefleet.contract.probe import ALIVE_ATTRIBUTE, PROBE_TOPIC
from voicefleet.runtime.redis.claim_store import ClaimStore, Succeeding
from voicefleet.runtime.redis.connection import Scripts
from voicefleet.stack.servers import LiveKit
from voicefleet.worker.conversation.transcript import CallTranscript, Cipher, build_cipher, decode, encode

pytestmark = pytest.mark.integration

TESTS = str(Path(__file__).resolve().parents[1])


@dataclass
class Fleet:
    """Two workers and the controller's hands."""

    livekit: LiveKit
    redis: RedisClient
    workers: dict[str, WorkerProcess]
    client: api.LiveKitAPI
    cipher: Cipher | None = None

    @property
    def claims(self) -> ClaimStore:
        return ClaimStore(Scripts(self.redis), "test")

    async def claim(self, room: str) -> Claim:
        claim = await claim_of(self.redis, room)
        assert claim is not None
        return claim

    async def transcript(self, room: str) -> CallTranscript | None:
        text = await self.redis.get(KEYS.transcript(room))
        return decode(str(text), self.cipher) if text else None

    async def answered(self, room: str, turns: int) -> bool:
        """Whether so many questions were answered, as far as the transcript knows."""
        transcript = await self.transcript(room)
        return transcript is not None and len(replies(transcript)) >= turns

    async def remove(self, room: str, job: str) -> None:
        await self.client.room.remove_participant(api.RoomParticipantIdentity(room=room, identity=agent_identity(job)))

    async def recover(self, room: str, claim: Claim) -> None:
        """What the controller does for a job that is gone."""
        # A job that lives takes its removal for the team's wish, unless it is said that it is ours.
        await self.redis.set(KEYS.removing(room), claim.job, px=10_000)
        await self.remove(room, claim.job)
        if not await self.claims.recover(room, claim):
            assert await claim_of(self.redis, room) is None, "a job that lives gives its claim back at its removal"
        await dispatch(self.livekit, room)

    async def probe(self, room: str, job: str, nonce: str) -> bool:
        identity = agent_identity(job)
        await self.client.room.send_data(
            api.SendDataRequest(
                room=room,
                data=nonce.encode(),
                kind=DataPacket.Kind.RELIABLE,
                destination_identities=[identity],
                topic=PROBE_TOPIC,
            )
        )

        async def alive() -> bool:
            found = await self.client.room.list_participants(api.ListParticipantsRequest(room=room))
            return any(p.attributes.get(ALIVE_ATTRIBUTE) == nonce for p in found.participants)

        return await happens(alive, 1.5)

    async def moved(self, room: str, old: Claim) -> bool:
        claim = await claim_of(self.redis, room)
        return claim is not None and claim.job != old.job and claim.state == ClaimState.LIVE

    async def pid(self, room: str) -> int:
        """The process that has the call, which the agent keeps for us."""
        transcript = await self.transcript(room)
        assert transcript is not None
        return int(transcript.kept["pid"])


@asynccontextmanager
async def fleet(
    livekit: LiveKit,
    redis_url: str,
    tmp_path: Path,
    key: str = "",
    agent: str = "support.counting_agent:create",
    **more: str,
) -> AsyncIterator[Fleet]:
    env = {
        **more,
        "VOICEFLEET_AGENT": agent,
        "VOICEFLEET_TRANSCRIPT_KEY": key,
        "PYTHONPATH": os.pathsep.join([TESTS, os.environ.get("PYTHONPATH", "")]),
    }
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(api.LiveKitAPI(livekit.url, livekit.api_key, livekit.api_secret))
        redis = await stack.enter_async_context(RedisClient.from_url(redis_url, decode_responses=True))
        started = await asyncio.gather(
            *(
                stack.enter_async_context(worker(livekit, redis_url, tmp_path, name, slots=4, **env))
                for name in ("w-1", "w-2")
            )
        )
        yield Fleet(livekit, redis, {w.name: w for w in started}, client, build_cipher(key))


def replies(transcript: CallTranscript) -> list[str]:
    said = [i["content"][0] for i in transcript.items if i["type"] == "message" and i["role"] == "assistant"]
    return [text for text in said if text.startswith("Question")]


def fine(outcome: CallOutcome) -> None:
    assert not outcome.silent, outcome
    assert not outcome.cut, outcome
    assert outcome.double_speech == 0, outcome


def speakers(outcome: CallOutcome) -> list[str]:
    """The jobs that were heard, by begin."""
    return list(dict.fromkeys(job_of(identity) for identity, _, _ in outcome.voices))


async def known(f: Fleet, room: str, *, why: str) -> None:
    """The agent of the call in `room` knows all of it, each part once, and what was kept."""
    transcript = await f.transcript(room)
    assert transcript is not None
    assert len({item["id"] for item in transcript.items}) == len(transcript.items)
    messages = [i for i in transcript.items if i["type"] == "message"]
    assert messages[0]["content"] == ["Hello, I count your questions."]
    assert len([m for m in messages if m["content"] == messages[0]["content"]]) == 1, "it greeted again"
    # The caller may have asked again already.
    last = max(n for n, m in enumerate(messages) if m["content"][0].startswith("Question"))
    asked = sum(m["role"] == "user" for m in messages[:last])
    assert messages[last]["content"] == [f"Question {asked}, {why}."]
    assert asked <= transcript.kept["turns"] <= asked + 1


async def test_jobs_that_die_or_stall(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    async with fleet(livekit, redis_url, tmp_path) as f:
        await asyncio.gather(killed(f), stopped(f), raising(f), next_caller(f), spanish(f))


async def killed(f: Fleet) -> None:
    room = "own-killed"
    talking = asyncio.create_task(call(f.livekit, room, turns=4))
    assert await eventually(lambda: f.answered(room, 2), 40.0)
    old = await f.claim(room)
    channel = KEYS.job_channel(old.job)
    assert (await f.redis.pubsub_numsub(channel))[0][1] == 1
    assert await f.probe(room, old.job, "n-1")
    os.kill(await f.pid(room), signal.SIGKILL)

    async def unheard() -> bool:
        return (await f.redis.pubsub_numsub(channel))[0][1] == 0

    assert await eventually(unheard, 1.0), "the controller must see it at once"
    await f.workers[old.worker].until(lambda r: r.jobs is not None and old.job not in r.jobs, 2.0)
    await f.recover(room, old)
    assert await eventually(lambda: f.moved(room, old), 3.0)
    assert await eventually(lambda: f.answered(room, 3), 25.0)
    await known(f, room, why="recovered")
    new = await f.claim(room)
    outcome = await talking
    fine(outcome)
    assert speakers(outcome) == [old.job, new.job]

    async def clean() -> bool:
        return not await f.redis.exists(KEYS.claim(room))

    assert await eventually(clean, 12.0), "a call that is over has no claim, once its caller is not back"
    assert 0 < await f.redis.pttl(KEYS.transcript(room)) <= 16_000, "and its conversation is forgotten soon"


async def stopped(f: Fleet) -> None:
    room = "stopped"
    talking = asyncio.create_task(call(f.livekit, room, turns=3))
    assert await eventually(lambda: f.answered(room, 1), 40.0)
    old = await f.claim(room)
    pid = await f.pid(room)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert not await f.probe(room, old.job, "n-2")
        await f.recover(room, old)
        assert await eventually(lambda: f.moved(room, old), 3.0)
        new = await f.claim(room)
        await asyncio.sleep(1.0)  # It speaks.
    finally:
        os.kill(pid, signal.SIGCONT)
    woke_s = time.monotonic()
    await f.workers[old.worker].until(lambda r: r.jobs is not None and old.job not in r.jobs, 10.0)
    assert await f.transcript(room) is not None, "the one that woke deleted its successor's transcript"
    assert (await f.claim(room)).job == new.job
    outcome = await talking
    fine(outcome)
    assert outcome.joined_at_s is not None
    late = [v for v in outcome.voices if job_of(v[0]) == old.job and v[2] > woke_s - outcome.joined_at_s]
    assert not late, late


async def raising(f: Fleet) -> None:
    room = "raises-1"
    talking = asyncio.create_task(call(f.livekit, room, turns=3))
    assert await eventually(lambda: f.answered(room, 1), 40.0)
    old = await f.claim(room)
    os.kill(await f.pid(room), signal.SIGKILL)
    await f.recover(room, old)
    assert await eventually(lambda: f.answered(room, 2), 25.0)
    transcript = await f.transcript(room)
    assert transcript is not None
    assert transcript.kept["turns"] < sum(i.get("role") == "user" for i in transcript.items), "begun anew"
    fine(await talking)


async def next_caller(f: Fleet) -> None:
    """Names of rooms recur: what an earlier call left behind there is none of this caller's business."""
    room = "recurs"
    left = CallTranscript("synthetic", [], {"turns": 41}, sid="RM_of_another_day", caller="somebody")
    await f.redis.set(KEYS.transcript(room), encode(left, 10_000)[0])
    talking = asyncio.create_task(call(f.livekit, room, turns=2))
    assert await eventually(lambda: f.answered(room, 1), 40.0)
    await known(f, room, why="fresh")
    fine(await talking)


async def spanish(f: Fleet) -> None:
    """The first words after a recovery are in the language that the call was ordered with."""
    order = DispatchMetadata(CallOrder(language="es-MX")).encode()
    token = (
        api.AccessToken(f.livekit.api_key, f.livekit.api_secret)
        .with_identity("ana")
        .with_grants(api.VideoGrants(room_join=True, room="spanish"))
        .with_room_config(
            api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="voicefleet", metadata=order)])
        )
        .to_jwt()
    )
    room, read = rtc.Room(), list[asyncio.Task[str]]()

    def on_words(said: rtc.TextStreamReader, _: str) -> None:
        read.append(asyncio.ensure_future(said.read_all()))

    room.register_text_stream_handler("lk.transcription", on_words)

    async def heard(words: str) -> bool:
        return any(words == one.result() for one in read if one.done())

    async def kept() -> bool:
        transcript = await f.transcript("spanish")
        return transcript is not None and "Hello" in str(transcript.items)

    await room.connect(f.livekit.url, token)
    try:
        assert await eventually(kept, 40.0)
        old = await f.claim("spanish")
        os.kill(await f.pid("spanish"), signal.SIGKILL)
        await f.remove("spanish", old.job)
        assert await f.claims.recover("spanish", old)
        await f.client.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(agent_name="voicefleet", room="spanish", metadata=order)
        )
        assert await eventually(lambda: heard("Disculpe, ¿por dónde íbamos? Hello, I count your questions."), 20.0)
    finally:
        await room.disconnect()


async def test_handoffs(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    async with fleet(livekit, redis_url, tmp_path, key=Fernet.generate_key().decode()) as f:
        await asyncio.gather(moving(f), staying(f), stalled(f))


async def moving(f: Fleet) -> None:
    room = "moves"
    talking = asyncio.create_task(call(f.livekit, room, turns=4))
    assert await eventually(lambda: f.answered(room, 1), 30.0)
    old = await f.claim(room)
    await f.workers[old.worker].order(1, cordon=True)
    assert await f.claims.begin_handoff(room, job=old.job)
    await dispatch(f.livekit, room)
    assert await eventually(lambda: f.moved(room, old), 15.0)
    moved_s = time.monotonic()
    await f.workers[old.worker].until(lambda r: r.jobs is not None and old.job not in r.jobs, 4.0)
    print("slot free after", round(time.monotonic() - moved_s, 2))
    new = await f.claim(room)
    assert new.worker != old.worker
    transcript = await f.transcript(room)
    assert transcript is not None
    so_far = len(replies(transcript))
    assert await eventually(lambda: f.answered(room, so_far + 1), 20.0)
    await known(f, room, why="handed_over")
    outcome = await talking
    fine(outcome)
    assert speakers(outcome) == [old.job, new.job]
    assert all(t.answered for t in outcome.turns), outcome
    # Whom a busy machine's gaps in the caller's voice bring in too early before that is not the successor.
    came_s = [at_s for at_s, what in outcome.events if what == "agent_joined"][1]
    assert not any(t.cut_in for t in outcome.turns if t.asked_at_s > came_s), outcome
    print("ttfa", [t.ttfa_s and round(t.ttfa_s, 2) for t in outcome.turns])
    assert int(await f.redis.hget(KEYS.ledger, "handed_over") or 0) == 1


async def staying(f: Fleet) -> None:
    """The successor never gets ready."""
    room = "stays"
    talking = asyncio.create_task(call(f.livekit, room, turns=3))
    assert await eventually(lambda: f.answered(room, 1), 30.0)
    old = await f.claim(room)
    assert await f.claims.begin_handoff(room, job=old.job)
    assert isinstance(await f.claims.accept(room, "", worker="w-9", job="AJ_never"), Succeeding)
    outcome = await talking
    fine(outcome)
    assert speakers(outcome) == [old.job]
    assert all(t.answered for t in outcome.turns)


async def stalled(f: Fleet) -> None:
    """A process that did not run for a while, and whose call nobody took, goes on."""
    room = "stalls"
    talking = asyncio.create_task(call(f.livekit, room, turns=3))
    assert await eventually(lambda: f.answered(room, 1), 30.0)
    old = await f.claim(room)
    pid = await f.pid(room)
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(4.0)
    finally:
        os.kill(pid, signal.SIGCONT)
    outcome = await talking
    assert speakers(outcome) == [old.job]
    assert not outcome.cut, outcome
    assert outcome.turns[-1].answered, outcome
