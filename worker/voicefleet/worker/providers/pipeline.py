"""Builds the livekit session that runs a tier, or fits one that a team built to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from types import MappingProxyType
from typing import Any

from livekit.agents import Agent, AgentSession, APIConnectOptions, inference, llm, stt, tts
from livekit.agents.voice.agent_session import SessionConnectOptions
from livekit.agents.voice.turn import TurnHandlingOptions

from voicefleet.runtime.logs.errors import error_summary
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.worker.job import sdk
from voicefleet.worker.providers.early_stt import EarlySTT
from voicefleet.worker.providers.fallback import FallbackLLM, FallbackTTS, fallback_stt
from voicefleet.worker.providers.limits import limit_llm, limit_stt, limit_tts
from voicefleet.worker.providers.turn_detection import build_turn_detection
from voicefleet.worker.tiers.load import ReadyTier, Stage
from voicefleet.worker.tiers.schema import DETECTORS, LONE_TIMEOUT_S, PreemptiveGeneration

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
    """Turn taking by the VAD alone unless the tier says otherwise: livekit's own defaults add a turn detector whose
    doubts cost up to three seconds."""
    tier = ready.tier
    return {
        "turn_detection": build_turn_detection(tier),
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
        "preemptive_generation": {
            "enabled": tier.preemptive_generation.enabled,
            "preemptive_tts": tier.preemptive_generation.speech,
            "max_retries": tier.preemptive_generation.tries,
        },
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
    )


def build_stage(name: str, stage: Stage, voice: inference.VAD, early: PreemptiveGeneration | None = None) -> Any:
    """The stage's provider with its limit; with a fallback, the adapter over all of them. `early` says when a
    recogniser that takes whole utterances is asked."""
    first = _limited(stage.build(), stage.limit_s)
    others = [other for other in _built(name, stage) if name != "tts" or other.num_channels == first.num_channels]
    early = early or PreemptiveGeneration()
    after_s = early.after_s if early.enabled else None
    if not others:
        if isinstance(first, stt.STT) and not first.capabilities.streaming and after_s is not None:
            return EarlySTT(first, voice, after_s=after_s, tries=early.tries)
        return first
    if name == "stt":
        return fallback_stt([first, *others], voice, stage.limit_s, after_s=after_s, tries=early.tries)
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


def build_session(ready: ReadyTier, options: Mapping[str, Any] = MappingProxyType({})) -> AgentSession[Any]:
    """A session for a team that gives a factory, with the session options that it returned. `fit_session` puts in the
    tier's stages when it starts."""
    given: dict[str, Any] = {
        "vad": build_vad(ready),
        "turn_handling": turn_handling(ready),
        # Echo cancellation is the caller's client's; the warm-up would hold back barge-in for the first 3 s.
        "aec_warmup_duration": None,
        **options,
    }
    return AgentSession(**given)


def fit_session(session: AgentSession[Any], agent: Agent, ready: ReadyTier) -> None:
    """Make a session that has not started the tier's: a stage that the tier names replaces the session's own, one that
    it leaves out stays, with a time limit. Turn taking is the tier's only where the tier says so."""
    tier = ready.tier
    said = tier.model_fields_set
    # A detector is asked in a silence, and a session whose own VAD ends speech before that would not start.
    of_tier = "vad" in said or ("turn_detection" in said and tier.turn_detection in DETECTORS)
    voice = build_vad(ready) if of_tier or not isinstance(session.vad, inference.VAD) else session.vad
    stages = {name: build_stage(name, stage, voice, tier.preemptive_generation) for name, stage in ready.stages.items()}
    for name in ("stt", "llm", "tts"):
        if name not in stages:
            _limit_own(getattr(session, name))
        _limit_own(getattr(agent, name))
    if of_tier:
        stages["vad"] = voice
    sdk.replace_stages(session, stages, connect_options(ready))
    sdk.set_turn_handling(session, _wanted_turn_handling(ready, said))
    sdk.keep_open_on_errors(session)


def change_stages(session: AgentSession[Any], stages: Mapping[str, Any], ready: ReadyTier) -> None:
    """Have a session that runs use these providers of the tier `ready`, by stage, from the next turn on."""
    sdk.swap_stages(session, stages, connect_options(ready))


def _wanted_turn_handling(ready: ReadyTier, said: Set[str]) -> TurnHandlingOptions:
    """What the tier's file says itself of turn taking, without the defaults."""
    every = turn_handling(ready)
    wanted: TurnHandlingOptions = {}
    if "turn_detection" in said:
        wanted["turn_detection"] = every["turn_detection"]
    if "endpointing" in said:
        wanted["endpointing"] = every["endpointing"]
    if "interruption" in said:
        wanted["interruption"] = every["interruption"]
    if "preemptive_generation" in said:
        wanted["preemptive_generation"] = every["preemptive_generation"]
    return wanted


def _limit_own(provider: Any) -> None:
    """A team's own provider gets the limit of one that is alone; a fallback adapter keeps its own limits."""
    if not isinstance(provider, stt.FallbackAdapter | llm.FallbackAdapter | tts.FallbackAdapter):
        _limited(provider, LONE_TIMEOUT_S)
