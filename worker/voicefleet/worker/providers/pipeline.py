"""Builds the livekit session that runs a tier."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from livekit.agents import AgentSession, APIConnectOptions, inference, llm, stt, tts
from livekit.agents.voice.agent_session import SessionConnectOptions
from livekit.agents.voice.turn import TurnHandlingOptions

from voicefleet.runtime.logs.errors import error_summary
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.worker.providers.fallback import FallbackLLM, FallbackTTS, fallback_stt
from voicefleet.worker.providers.limits import limit_llm, limit_stt, limit_tts
from voicefleet.worker.tiers.load import ReadyTier, Stage

_RETRY_AFTER_S = 0.3

log = get_logger(__name__)


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


def connect_options(ready: ReadyTier) -> SessionConnectOptions:
    """One quick retry where a provider is alone, none where the next one can be asked instead."""

    def of(stage: Stage | None) -> APIConnectOptions:
        if stage is None:
            return APIConnectOptions(max_retry=1, retry_interval=_RETRY_AFTER_S)
        return APIConnectOptions(
            max_retry=0 if stage.fallback else 1, retry_interval=_RETRY_AFTER_S, timeout=stage.limit_s
        )

    return SessionConnectOptions(
        stt_conn_options=of(ready.stages.get("stt")),
        llm_conn_options=of(ready.stages.get("llm")),
        tts_conn_options=of(ready.stages.get("tts")),
        # By default the fourth failure in a row hangs up on the caller. The call goes on: the apology answers
        # meanwhile, and the provider may come back.
        max_unrecoverable_errors=sys.maxsize,
    )


def build_stage(name: str, stage: Stage, voice: inference.VAD) -> Any:
    """The stage's provider with its limit; with a fallback, the adapter over all of them."""
    first = _limited(stage.build(), stage.limit_s)
    others = [other for other in _built(name, stage) if name != "tts" or other.num_channels == first.num_channels]
    if not others:
        return first
    if name == "stt":
        return fallback_stt([first, *others], voice, stage.limit_s)
    if name == "llm":
        return FallbackLLM([first, *others], stage.limit_s)
    return FallbackTTS([first, *others])


def _built(name: str, stage: Stage) -> Sequence[Any]:
    built = []
    for number, found in enumerate(stage.fallback):
        try:
            built.append(_limited(found.build(), stage.limit_s))
        except Exception as error:
            # A call must not fail because its fallback cannot be made: log it, and do without.
            log.error("fallback left out: not built", stage=name, number=number, error=error_summary(error))
    return built


def _limited(provider: Any, limit_s: float) -> Any:
    if isinstance(provider, stt.STT):
        limit_stt(provider, limit_s)
    elif isinstance(provider, llm.LLM):
        limit_llm(provider, limit_s)
    elif isinstance(provider, tts.TTS):
        limit_tts(provider, limit_s)
    return provider


def build_session(ready: ReadyTier) -> AgentSession[Any]:
    """A session of the tier's providers; stages that the tier leaves out are the agent's own to bring."""
    voice = build_vad(ready)
    stages = {name: build_stage(name, stage, voice) for name, stage in ready.stages.items()}
    return AgentSession(
        **stages,
        vad=voice,
        turn_handling=turn_handling(ready),
        conn_options=connect_options(ready),
        # Echo cancellation is the caller's client's; the warm-up would hold back barge-in for the first 3 s.
        aec_warmup_duration=None,
        user_away_timeout=None,
    )
