"""A real session prepares its answer in the silence that ends a turn, and says it no sooner."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from bench.hops import FILE_VARIABLE
from bench.turns import with_pause
from livekit import api

from support.worker_process import worker
from voicefleet.callers.caller import Caller
from voicefleet.contract.api import CallTicket
from voicefleet.speech.clips import load_utterances
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration

SILENCE_S = 0.9
"""Long, so that a busy machine does not reorder what is to come in it and what after it."""
TESTS = Path(__file__).parent.parent


def tiers() -> str:
    stages = {stage: {"plugin": f"voicefleet.local.synthetic:Synthetic{stage.upper()}"} for stage in ("stt", "tts")}
    tier = {
        **stages,
        "llm": {"plugin": "voicefleet.local.synthetic:SyntheticLLM", "args": {"replies": ["Yes, we are open."]}},
        "vad": {"min_silence_s": SILENCE_S},
        "preemptive_generation": {"after_s": 0.03, "speech": True, "tries": 5},
        "audio_input": {"frame_ms": 20, "sample_rate": 16000},
    }
    return yaml.safe_dump({"default": "a", "tiers": {"a": tier}})


async def test_the_answer_is_there_when_the_turn_is_over(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "tiers.yaml").write_text(tiers())
    hops = tmp_path / "hops.jsonl"
    token = (
        api.AccessToken(livekit.api_key, livekit.api_secret)
        .with_identity("ann")
        .with_grants(api.VideoGrants(room_join=True, room="early"))
        .with_room_config(api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="voicefleet")]))
        .to_jwt()
    )
    ticket = CallTicket(url=livekit.url, token=token, room="early", region="test")
    settings = {
        "VOICEFLEET_AGENT": "bench.hops:create",
        "VOICEFLEET_TIERS": str(tmp_path / "tiers.yaml"),
        "PYTHONPATH": str(TESTS),
        FILE_VARIABLE: str(hops),
    }
    plain, other = load_utterances()[:2]
    async with worker(livekit, redis_url, tmp_path, slots=1, **settings) as w:
        outcome = await Caller("ann", ticket, [plain, with_pause(other, 0.45)]).run()
        assert [turn.answered for turn in outcome.turns] == [True, True], w.child.log_tail()
    assert not any(turn.cut_in for turn in outcome.turns), "a pause within the silence is no end"
    noted = [json.loads(line) for line in hops.read_text().splitlines()]
    for turn in outcome.turns:
        assert turn.ttfa_s is not None
        assert turn.ttfa_s > SILENCE_S
        t0_s = (outcome.joined_at_s or 0.0) + turn.t0_s
        last = {n["what"]: n["t_s"] - t0_s for n in noted if -0.2 < n["t_s"] - t0_s < turn.ttfa_s}
        first_words = min(n["t_s"] - t0_s for n in noted if n["what"] == "words" and n["t_s"] - t0_s > -0.2)
        assert first_words < last["llm"] < last["tts"] < last["silence"] < last["playout"], last
