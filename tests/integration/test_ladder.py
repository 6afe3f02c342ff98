"""A worker whose turns are late steps down its ladder: live calls have the faster tier from their next turn on.

The late tier's LLM declares a latency that breaks the ladder's TTFA budget; the faster one's does not. The voices are
alike, so nothing but the LLM changes in a call.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
import yaml
from livekit import api
from redis.asyncio import Redis as RedisClient

from voicefleet.callers.caller import Caller
from voicefleet.callers.outcome import CallOutcome
from voicefleet.contract import codec
from voicefleet.contract.api import CallTicket
from voicefleet.contract.calls import CallOrder, DispatchMetadata
from voicefleet.contract.keys import Keys
from voicefleet.contract.reports import WorkerReport
from voicefleet.runtime.supervisor.children import Child, running
from voicefleet.speech.clips import load_utterances
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration

LATE_S, BUDGET_S = 1.5, 1.2
CALLERS, QUESTIONS = 3, 6


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

    # The CPU is to say nothing: whatever else the machine does, it is hardly all of it for 10 s on end.
    ladder = {
        "order": ["late", "fast"],
        "cpu_down_ratio": 1.0,
        "cpu_up_ratio": 0.01,
        "ttfa_s": BUDGET_S,
        "down_after_s": 10.0,
    }
    return {"default": "late", "tiers": {"late": tier(LATE_S), "fast": tier(0.05)}, "ladder": ladder}


async def call(livekit: LiveKit, name: str) -> CallOutcome:
    dispatch = api.RoomAgentDispatch(agent_name="voicefleet", metadata=DispatchMetadata(CallOrder("late")).encode())
    token = (
        api.AccessToken(livekit.api_key, livekit.api_secret)
        .with_identity(f"caller-{name}")
        .with_grants(api.VideoGrants(room_join=True, room=name))
        .with_room_config(api.RoomConfiguration(agents=[dispatch]))
        .to_jwt()
    )
    ticket = CallTicket(url=livekit.url, token=token, room=name, region="test")
    shortest = sorted((u for u in load_utterances() if u.voice == "slt"), key=lambda u: u.duration_s)
    return await Caller(name, ticket, [shortest[n % 3] for n in range(QUESTIONS)]).run()


async def test_late_turns_step_live_calls_down_between_two_turns(
    livekit: LiveKit, redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "tiers.yaml").write_text(yaml.safe_dump(tiers()))
    env = {
        "LIVEKIT_URL": livekit.url,
        "LIVEKIT_API_KEY": livekit.api_key,
        "LIVEKIT_API_SECRET": livekit.api_secret,
        "VOICEFLEET_REDIS_URL": redis_url,
        "VOICEFLEET_REGION": "test",
        "VOICEFLEET_WORKER_ID": "w-ladder",
        "VOICEFLEET_SLOTS": "4",
        "VOICEFLEET_TIERS": str(tmp_path / "tiers.yaml"),
    }
    program = [sys.executable, "-m", "voicefleet.cli.app", "worker"]
    child = Child("w-ladder", program, log_path=tmp_path / "worker.log", env=env, stop_plan=((signal.SIGTERM, 20.0),))
    redis = RedisClient.from_url(redis_url, decode_responses=True)

    async def report() -> WorkerReport | None:
        text = await redis.get(Keys("test").report("w-ladder"))
        return codec.load(WorkerReport, text) if text else None

    async with running(child), redis:
        async with asyncio.timeout(40):
            while (seen := await report()) is None or seen.state != "ready":
                assert child.alive, child.log_tail()
                await asyncio.sleep(0.1)
        assert seen.tier_level == 0
        calls = await asyncio.gather(*(call(livekit, f"late-{n}") for n in range(CALLERS)))
        seen = await report()
        new = await call(livekit, "late-new")
    said = [[turn.ttfa_s for turn in outcome.turns] for outcome in (*calls, new)]
    assert seen is not None
    assert seen.tier_level == 1, said
    assert "turns took over 1200 ms" in seen.tier_why
    for outcome in calls:
        assert not outcome.silent, said
        assert not outcome.cut, said
        assert all(turn.answered for turn in outcome.turns), said
        first, last = outcome.turns[0].ttfa_s, outcome.turns[-1].ttfa_s
        assert first is not None, said
        assert last is not None, said
        assert first > LATE_S, said
        assert last < BUDGET_S, said
    assert all(turn.ttfa_s is not None and turn.ttfa_s < BUDGET_S for turn in new.turns), said
    log = (tmp_path / "worker.log").read_text()
    assert log.count("tier of the call changed") == CALLERS + 1, "each live call once, and the new one at its start"
