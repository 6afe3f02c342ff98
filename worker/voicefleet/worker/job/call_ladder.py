"""Puts a call's place on the ladder of tiers together: what steps it, and who hears of a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from livekit.agents import AgentSession

from voicefleet.worker.dead_air.apology import Apology
from voicefleet.worker.job.parts import Job
from voicefleet.worker.ladder.live_step import LiveStep
from voicefleet.worker.providers.pipeline import build_stage, build_vad, change_stages
from voicefleet.worker.telemetry.call_telemetry import CallTelemetry
from voicefleet.worker.telemetry.observations import TierChanged
from voicefleet.worker.tiers.load import ReadyTier, Stage, Tiers


def build_live_step(
    job: Job,
    session: AgentSession[Any],
    tiers: Tiers,
    asked: ReadyTier,
    serving: ReadyTier,
    own: Mapping[str, Any],
    *,
    between_turns: Callable[[], bool],
    telemetry: CallTelemetry,
    apology: Apology,
) -> LiveStep:
    """The steps of one call; see `LiveStep` for the arguments."""
    channel = job.ports.channel

    def build(name: str, stage: Stage) -> Any:
        provider = build_stage(name, stage, build_vad(serving), serving.tier.preemptive_generation)
        apology.watch_stage(name, provider)
        return provider

    def changed(change: TierChanged) -> None:
        if change.result != "failed":
            telemetry.tier = change.tier
        channel.send(change)

    step = LiveStep(
        tiers,
        asked,
        serving,
        own=own,
        between_turns=between_turns,
        build=build,
        swap=lambda stages, tier: change_stages(session, stages, tier),
        changed=changed,
        clock=job.ports.clock,
        level=channel.level,
    )
    channel.on_level = step.on_level
    return step
