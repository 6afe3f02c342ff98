"""From a tier to the livekit session that runs it."""

from __future__ import annotations

from typing import Any

from livekit.agents import AgentSession, inference
from livekit.agents.voice.turn import TurnHandlingOptions

from voicefleet.worker.tiers.load import ReadyTier


def build_vad(ready: ReadyTier) -> inference.VAD:
    """The voice activity detector that ships inside livekit-agents (Silero, native, no download)."""
    vad = ready.tier.vad
    return inference.VAD(
        min_silence_duration=vad.min_silence_s,
        min_speech_duration=vad.min_speech_s,
        activation_threshold=vad.activation_threshold,
    )


def turn_handling(ready: ReadyTier) -> TurnHandlingOptions:
    """Turn taking by the VAD alone: livekit's own defaults add a turn detector, and with it about two seconds."""
    tier = ready.tier
    return {
        "turn_detection": "vad",
        "endpointing": {
            "mode": "fixed",
            "min_delay": tier.endpointing.min_delay_s,
            "max_delay": tier.endpointing.max_delay_s,
        },
        "interruption": {
            "mode": "vad",
            "enabled": tier.interruption.enabled,
            "min_duration": tier.interruption.min_duration_s,
            "min_words": tier.interruption.min_words,
        },
        "preemptive_generation": {"enabled": tier.preemptive_generation},
    }


def build_session(ready: ReadyTier) -> AgentSession[Any]:
    """A session of the tier's providers; stages that the tier leaves out are the agent's own to bring."""
    stages = {name: stage.build() for name, stage in ready.stages.items()}
    return AgentSession(
        **stages,
        vad=build_vad(ready),
        turn_handling=turn_handling(ready),
        # Echo cancellation is the caller's client's; the warm-up would hold back barge-in for the first 3 s.
        aec_warmup_duration=None,
        user_away_timeout=None,
    )
