"""A worker that is short of CPU steps down its ladder, and up again: a live call follows between two turns.

The worker has a CPU account of its own, as in a container, and half the machine to use; a process beside it in the same
account eats that. The slower tier's LLM declares its latency, so each turn tells which tier answered it. The voices are
alike, so nothing but the LLM changes in the call.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import signal
import sys
import time
from pathlib import Path

import pytest
import yaml
from livekit import api
from redis.asyncio import Redis as RedisClient

from support.cpu_account import cpu_account, needs_cpu_account
from support.eventually import eventually
from voicefleet.callers.caller import Caller
from voicefleet.contract import codec
from voicefleet.contract.api import CallTicket
from voicefleet.contract.calls import CallOrder, DispatchMetadata
from voicefleet.contract.keys import Keys
from voicefleet.contract.reports import WorkerReport
from voicefleet.runtime.supervisor.children import Child, running
from voicefleet.speech.clips import load_utterances
from voicefleet.stack.servers import LiveKit

pytestmark = [pytest.mark.integration, needs_cpu_account]

BEST_S = 1.5
"""The better tier's LLM takes so long: no turn of it is faster, and none of the other tier is expected to be slower."""
HEARING_S = 0.4
"""An agent knows that its caller speaks, or hears its own last word, at most so much before or after the caller."""
CHANGED = "tier of the call changed"
BURN = """
import contextlib, os, pathlib
with contextlib.suppress(OSError):  # before whatever else this machine runs
    os.nice(-10)
    pathlib.Path("/proc/self/autogroup").write_text("-10")
while True:
    pass
"""


def tiers() -> dict[str, object]:
    def tier(ttft_s: float) -> dict[str, object]:
        llm = {"ttft_s": ttft_s, "replies": ["It is so, yes."]}
        return {
            "stt": {"plugin": "voicefleet.local.synthetic:SyntheticSTT"},
            "llm": {"plugin": "voicefleet.local.synthetic:SyntheticLLM", "args": llm},
            "tts": {"plugin": "voicefleet.local.synthetic:SyntheticTTS"},
            "vad": {"min_silence_s": 0.2},
            "endpointing": {"min_delay_s": 0.05},
        }

    ladder = {
        "order": ["best", "fast"],
        "cpu_down_ratio": 0.65,
        "cpu_up_ratio": 0.5,
        "ttfa_s": 10.0,
        "down_after_s": 6.0,  # the process for the next call, which loads beside this one, is no burst
        "up_after_s": 7.0,
    }
    return {"default": "best", "tiers": {"best": tier(BEST_S), "fast": tier(0.05)}, "ladder": ladder}


def caller(livekit: LiveKit, name: str) -> Caller:
    dispatch = api.RoomAgentDispatch(agent_name="voicefleet", metadata=DispatchMetadata(CallOrder("best")).encode())
    token = (
        api.AccessToken(livekit.api_key, livekit.api_secret)
        .with_identity(f"caller-{name}")
        .with_grants(api.VideoGrants(room_join=True, room=name))
        .with_room_config(api.RoomConfiguration(agents=[dispatch]))
        .to_jwt()
    )
    ticket = CallTicket(url=livekit.url, token=token, room=name, region="test")
    shortest = min((u for u in load_utterances() if u.voice == "slt"), key=lambda u: u.duration_s)
    return Caller(name, ticket, [shortest] * 40)


async def test_a_live_call_steps_down_for_want_of_cpu_and_up_again_and_never_in_mid_turn(
    livekit: LiveKit, redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "tiers.yaml").write_text(yaml.safe_dump(tiers()))
    env = {
        "LIVEKIT_URL": livekit.url,
        "LIVEKIT_API_KEY": livekit.api_key,
        "LIVEKIT_API_SECRET": livekit.api_secret,
        "NUM_CPUS": "1",
        "VOICEFLEET_REDIS_URL": redis_url,
        "VOICEFLEET_REGION": "test",
        "VOICEFLEET_WORKER_ID": "w-ladder",
        "VOICEFLEET_SLOTS": "1",
        "VOICEFLEET_TIERS": str(tmp_path / "tiers.yaml"),
    }
    log, stop = tmp_path / "worker.log", ((signal.SIGTERM, 20.0),)
    program = [sys.executable, "-m", "voicefleet.cli.app", "worker"]
    async with cpu_account() as account, RedisClient.from_url(redis_url, decode_responses=True) as redis:

        async def report() -> WorkerReport | None:
            text = await redis.get(Keys("test").report("w-ladder"))
            return codec.load(WorkerReport, text) if text else None

        async def stands(level: int, at_least: int) -> WorkerReport | None:
            """Its report, once it is ready, stands on this level, and has answered so many turns."""
            assert worker.alive, worker.log_tail()
            seen = await report()
            if seen is None or seen.state != "ready" or seen.tier_level != level:
                return None
            return seen if sum((seen.turns or {}).values()) >= at_least else None

        worker = Child("w-ladder", account.holds(program), log_path=log, env=env, stop_plan=stop)
        async with running(worker):
            await eventually(lambda: stands(0, 0), 40.0, what="the worker is ready")
            one = caller(livekit, "ladder")
            talking = asyncio.create_task(one.run())
            await eventually(lambda: stands(0, 1), what="a turn on the best tier")
            burn = Child("burn", account.holds([sys.executable, "-c", BURN]), log_path=tmp_path / "burn.log")
            async with running(burn):
                low = await eventually(lambda: stands(1, 1), what="a step down")
            high = await eventually(lambda: stands(0, 0), what="a step up")
            await eventually(lambda: stands(0, sum(high.turns.values()) + 2), what="turns on the best tier again")
            one.finish()
            outcome = await talking
    assert low.tier_why.startswith("CPU at "), low
    assert high.tier_why.startswith("calm for 7 s: CPU at "), high
    assert (outcome.error, outcome.cut, outcome.silent, outcome.double_speech) == (None, False, False, 0), outcome
    assert all(turn.answered for turn in outcome.turns), outcome
    assert outcome.joined_at_s is not None
    changes = [line for line in map(json.loads, log.read_text().splitlines()) if line["event"] == CHANGED]
    assert [(line["tier"], line["result"]) for line in changes] == [
        ("fast", "between_turns"),
        ("best", "between_turns"),
    ]
    down_s, up_s = (since_joined_s(line, outcome.joined_at_s) for line in changes)
    assert any(down_s < turn.t0_s < up_s for turn in outcome.turns), "the faster tier answered"
    for turn in outcome.turns:
        assert turn.reply_end_s is not None
        assert turn.ttfa_s is not None
        for change_s in (down_s, up_s):
            assert not turn.asked_at_s + HEARING_S < change_s < turn.reply_end_s - HEARING_S, (turn, change_s)
        slower = not down_s < turn.t0_s < up_s
        assert (turn.ttfa_s > BEST_S) is slower, (turn, down_s, up_s)


def since_joined_s(line: dict[str, str], joined_at_s: float) -> float:
    """When a line of the log was written, on the caller's clock."""
    ago_s = time.time() - datetime.datetime.fromisoformat(line["timestamp"]).timestamp()
    return time.monotonic() - ago_s - joined_at_s
