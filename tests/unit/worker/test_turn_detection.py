"""What a tier names as the end of a turn is what the session gets, and its models tell more from less."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import Any

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession, inference

from voicefleet.contract.errors import MissingPartError
from voicefleet.local import smart_turn
from voicefleet.speech.clips import load_utterances
from voicefleet.worker.providers.pipeline import fit_session, turn_handling
from voicefleet.worker.tiers.load import ReadyTier, resolve_tiers
from voicefleet.worker.tiers.schema import TiersFile

pytestmark = pytest.mark.unit


def ready(**tier: Any) -> ReadyTier:
    return resolve_tiers(TiersFile.model_validate({"default": "t", "tiers": {"t": tier}}), {}).pick("t")


def test_v1_mini_is_the_model_on_this_machine_with_the_tiers_threshold() -> None:
    detector = turn_handling(ready(turn_detection="v1-mini", endpointing={"threshold": 0.3}))["turn_detection"]
    assert isinstance(detector, inference.TurnDetector)
    assert detector.model == "turn-detector-v1-mini"
    assert asyncio.run(detector.unlikely_threshold(None)) == 0.3
    own = turn_handling(ready(turn_detection="v1-mini"))["turn_detection"]
    assert isinstance(own, inference.TurnDetector)
    assert asyncio.run(own.unlikely_threshold(None)) == 0.36


async def test_a_teams_session_with_a_quick_vad_gets_the_tiers_with_its_detector() -> None:
    session = AgentSession[Any](vad=inference.VAD(min_silence_duration=0.1))
    fit_session(session, Agent(instructions=""), ready(turn_detection="v1-mini"))
    assert isinstance(session.vad, inference.VAD)
    assert session.vad.min_silence_duration == 0.3
    assert isinstance(session.turn_detection, inference.TurnDetector)


async def test_smart_turn_hears_what_was_pushed_and_forgets_it_when_the_turn_is_over() -> None:
    detector = turn_handling(ready(turn_detection="smart-turn", endpointing={"threshold": 0.7}))["turn_detection"]
    assert isinstance(detector, smart_turn.SmartTurnDetector)
    assert await detector.unlikely_threshold(None) == 0.7
    stream = detector.stream()
    clip = load_utterances()[0]
    whole = clip.samples[: clip.speech_end_sample]
    half = whole[: whole.size // 2]

    async def asked(samples: np.ndarray) -> float:
        pcm = np.concatenate([samples, np.zeros(3200, np.int16)])
        stream.push_audio(rtc.AudioFrame(pcm.tobytes(), clip.sample_rate, 1, pcm.size))
        for _ in range(3):  # the stream hands frames on in a task of its own
            await asyncio.sleep(0)
        event = await stream.predict()
        stream.flush("turn committed")
        for _ in range(3):
            await asyncio.sleep(0)
        return event.end_of_turn_probability

    alone = smart_turn.smart_turn_model()
    silence = np.zeros(3200, np.int16)
    assert await asked(half) == pytest.approx(alone.predict(np.concatenate([half, silence])))
    assert await asked(whole) == pytest.approx(alone.predict(np.concatenate([whole, silence])))
    await stream.aclose()


@pytest.mark.parametrize(
    ("module", "package"), [("smart_turn_livekit", "smart-turn-livekit==0.4.0"), ("pipecat", "pipecat-ai==1.14.0")]
)
def test_a_missing_package_is_named_before_any_call(monkeypatch: Any, module: str, package: str) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("voicefleet.local.smart_turn.find_spec", lambda name: None if name == module else found(name))
    with pytest.raises(MissingPartError, match=package) as caught:
        ready(turn_detection="smart-turn")
    assert caught.value.field == "tiers.t.turn_detection"
