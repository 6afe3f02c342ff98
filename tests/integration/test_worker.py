"""A real worker on a real livekit-server: calls, slots, claims, draining, bad surroundings."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import pytest
from livekit import api
from redis.asyncio import Redis as RedisClient

from support.eventually import eventually, happens
from support.worker_process import KEYS, command, surroundings, worker
from voicefleet.callers.caller import Caller
from voicefleet.callers.outcome import CallOutcome
from voicefleet.contract import codec
from voicefleet.contract.api import CallTicket
from voicefleet.contract.claims import Claim, ClaimState
from voicefleet.speech.clips import load_utterances
from voicefleet.stack.servers import LiveKit, redis_server

pytestmark = pytest.mark.integration


def ticket(livekit: LiveKit, room: str) -> str:
    """A front end's own token: the one line that matters is the room configuration."""
    return (
        api.AccessToken(livekit.api_key, livekit.api_secret)
        .with_identity(f"caller-{room}")
        .with_grants(api.VideoGrants(room_join=True, room=room))
        .with_room_config(api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="voicefleet")]))
        .to_jwt()
    )


async def call(livekit: LiveKit, room: str, turns: int = 2) -> CallOutcome:
    utterances = load_utterances()[:turns]
    admission = CallTicket(url=livekit.url, token=ticket(livekit, room), room=room, region="test")
    return await Caller(room, admission, utterances).run()


async def claim_of(redis: RedisClient, room: str) -> Claim | None:
    text = await redis.get(KEYS.claim(room))
    return codec.load(Claim, text) if text else None


async def agent_in(livekit: LiveKit, room: str) -> bool:
    async with api.LiveKitAPI(livekit.url, livekit.api_key, livekit.api_secret) as client:
        found = await client.room.list_participants(api.ListParticipantsRequest(room=room))
        return any(p.kind == api.ParticipantInfo.Kind.AGENT for p in found.participants)


async def dispatch(livekit: LiveKit, room: str) -> None:
    async with api.LiveKitAPI(livekit.url, livekit.api_key, livekit.api_secret) as client:
        await client.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest(agent_name="voicefleet", room=room))


async def test_calls_fill_the_slots_are_answered_and_free_them(
    livekit: LiveKit, redis_url: str, tmp_path: Path
) -> None:
    async with worker(livekit, redis_url, tmp_path, slots=2) as w:
        calls = [asyncio.create_task(call(livekit, f"fill-{n}")) for n in range(2)]
        full = await w.until(lambda r: r.live == 2)
        assert full.free == 0
        assert sorted(full.rooms) == ["fill-0", "fill-1"]
        live = [await claim_of(w.redis, f"fill-{n}") for n in range(2)]
        assert all(c is not None and c.worker == "w-1" for c in live)

        async with aiohttp.ClientSession() as http:
            base = f"http://127.0.0.1:{full.http_port}"
            for path in ("/livez", "/readyz"):
                async with http.get(base + path) as answer:
                    assert answer.status == 200, path
            async with http.get(base + "/status") as answer:
                assert (await answer.json())["live"] == 2

        third = asyncio.create_task(call(livekit, "fill-2", turns=0))
        assert not await happens(lambda: agent_in(livekit, "fill-2"), 1.5), "a full worker took a third call"
        third.cancel()
        await asyncio.gather(third, return_exceptions=True)

        for outcome in await asyncio.gather(*calls):
            assert outcome.answered, outcome
            assert not outcome.silent, outcome
            assert not outcome.cut, outcome
            assert [t.answered for t in outcome.turns] == [True, True]
        await w.until(lambda r: r.free == 2, 8.0)
        assert await claim_of(w.redis, "fill-0") is None

        async with aiohttp.ClientSession() as http, http.get(base + "/metrics") as answer:
            text = await answer.text()
        assert 'voicefleet_turns_total{outcome="completed"}' in text
        assert 'voicefleet_calls_total{result="completed"} 2.0' in text
        assert "fill-" not in text, "room names must never be labels"


async def test_cordon_and_uncordon_reach_livekit_at_once(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    async with worker(livekit, redis_url, tmp_path) as w:
        await w.order(1, cordon=True)
        assert (await w.report()).state == "draining"  # type: ignore[union-attr]
        outcome = asyncio.create_task(call(livekit, "cordoned", turns=1))
        assert not await happens(lambda: agent_in(livekit, "cordoned"), 1.5)
        await w.order(2, cordon=False)
        # One dispatch only: it is lost unless LiveKit knew of the free slots before.
        await dispatch(livekit, "cordoned")
        assert await eventually(lambda: agent_in(livekit, "cordoned"), 3.0)
        assert (await outcome).answered


async def test_a_freed_slot_is_dispatchable_at_once(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    async with worker(livekit, redis_url, tmp_path, slots=1) as w:
        first = asyncio.create_task(call(livekit, "freed-0", turns=1))
        await w.until(lambda r: r.live == 1)
        second = asyncio.create_task(call(livekit, "freed-1", turns=1))
        assert (await first).answered
        await w.until(lambda r: r.free == 1, 8.0)
        await dispatch(livekit, "freed-1")
        assert await eventually(lambda: agent_in(livekit, "freed-1"), 2.0)
        assert (await second).answered


async def test_a_call_held_by_another_is_not_taken(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    async with worker(livekit, redis_url, tmp_path) as w:
        await w.redis.set(KEYS.claim("held"), codec.dump(Claim("other", "job-0", 5, ClaimState.LIVE)))
        outcome = asyncio.create_task(call(livekit, "held", turns=1))
        assert not await happens(lambda: agent_in(livekit, "held"), 2.0)
        outcome.cancel()
        await asyncio.gather(outcome, return_exceptions=True)


async def test_a_job_that_lost_its_claim_leaves(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    async with worker(livekit, redis_url, tmp_path) as w:
        outcome = asyncio.create_task(call(livekit, "taken", turns=3))
        await w.until(lambda r: r.live == 1)
        assert await eventually(lambda: agent_in(livekit, "taken"), 3.0)
        await w.redis.set(KEYS.claim("taken"), codec.dump(Claim("other", "job-0", 5, ClaimState.LIVE)))

        async def gone() -> bool:
            return not await agent_in(livekit, "taken")

        assert await eventually(gone, 4.0)
        claim = await claim_of(w.redis, "taken")
        assert claim is not None
        assert claim.worker == "other", "the loser must not touch the winner's claim"
        outcome.cancel()
        await asyncio.gather(outcome, return_exceptions=True)


async def test_redis_away_costs_no_call(livekit: LiveKit, tmp_path: Path) -> None:
    async with redis_server() as redis, worker(livekit, redis.url, tmp_path) as w:
        await redis.stop()
        outcome = await call(livekit, "no-redis", turns=2)
        assert outcome.answered
        assert [t.answered for t in outcome.turns] == [True, True]
        await redis.start()
        await w.until(lambda r: r.state == "ready", 10.0)


async def test_sigterm_lets_the_live_call_finish(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    async with worker(livekit, redis_url, tmp_path) as w:
        outcome = asyncio.create_task(call(livekit, "drain", turns=3))
        await w.until(lambda r: r.live == 1)
        w.child.send_signal(signal.SIGTERM)
        await w.until(lambda r: r.state == "draining", 5.0)
        late = asyncio.create_task(call(livekit, "drain-late", turns=0))
        assert not await happens(lambda: agent_in(livekit, "drain-late"), 1.5)
        late.cancel()
        done = await outcome
        assert done.answered
        assert not done.cut
        assert [t.answered for t in done.turns] == [True, True, True]
        assert await w.child.wait() == 0
        assert await w.report() is None, "a worker that ended in order is off the books"
        await asyncio.gather(late, return_exceptions=True)


BAD = [
    pytest.param({"LIVEKIT_API_SECRET": "x" * 40}, [], "LIVEKIT_API_KEY", "refuses", id="secret refused"),
    pytest.param(
        {"VOICEFLEET_REDIS_URL": "redis://127.0.0.1:9"}, [], "VOICEFLEET_REDIS_URL", "127.0.0.1:9", id="no redis"
    ),
    pytest.param({}, ["--agent", "no_such_pkg.agent:create"], "--agent", "no_such_pkg", id="agent path"),
    pytest.param({}, ["--agent", "voicefleet.worker.agents:nobody"], "--agent", "has no nobody", id="agent name"),
    pytest.param({}, ["--tiers", "/nowhere.yaml"], "--tiers", "local, synthetic", id="no tiers file"),
    pytest.param({}, ["--log-level", "LOUD"], "log_level", "'DEBUG', 'INFO'", id="log level"),
    pytest.param({}, ["--slots", "0"], "slots", "greater than or equal to 1", id="slots"),
    pytest.param({}, ["--listen", "nonsense"], "--listen", "HOST:PORT", id="listen"),
    pytest.param(
        {"VOICEFLEET_TRANSCRIPT_KEY": "nonsense"},
        [],
        "VOICEFLEET_TRANSCRIPT_KEY",
        "Fernet.generate_key()",
        id="transcript key",
    ),
    pytest.param({"VOICEFLEET_REGION": "Not A Region"}, [], "region", "pattern", id="region"),
]


@pytest.mark.parametrize(("env", "arguments", "field", "says"), BAD)
async def test_bad_surroundings_end_with_one_message(
    livekit: LiveKit, redis_url: str, env: dict[str, str], arguments: list[str], field: str, says: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *command(*arguments),
        env={**os.environ, **surroundings(livekit, redis_url, "bad", 1), "VOICEFLEET_LOG_LEVEL": "WARNING", **env},
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), 30)
    text = errors.decode()
    assert process.returncode == 2, text
    assert field in text
    assert says in text
    assert "Traceback" not in text
    assert livekit.api_secret not in text
    assert len(text.strip().splitlines()) == 1, text


async def test_a_taken_port_is_named(livekit: LiveKit, redis_url: str) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        process = await asyncio.create_subprocess_exec(
            *command("--listen", f"127.0.0.1:{port}"),
            env={**os.environ, **surroundings(livekit, redis_url, "bad", 1), "VOICEFLEET_LOG_LEVEL": "WARNING"},
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await asyncio.wait_for(process.communicate(), 30)
    finally:
        server.close()
        await server.wait_closed()
    assert process.returncode == 2
    assert f"127.0.0.1:{port}" in errors.decode()
    assert "taken" in errors.decode()
