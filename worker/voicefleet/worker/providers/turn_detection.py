"""Makes what ends a turn in a livekit session out of a tier's words for it."""

from __future__ import annotations

from livekit.agents import inference
from livekit.agents.types import NOT_GIVEN
from livekit.agents.voice.turn import TurnDetectionMode

from voicefleet.worker.tiers.schema import Tier


def build_turn_detection(tier: Tier) -> TurnDetectionMode:
    """A mode of livekit's, or a detector: two calls of a process share its model, not what it heard."""
    threshold = tier.endpointing.threshold
    if tier.turn_detection == "v1-mini":
        # The version is named, since without it livekit asks its cloud where it runs in development mode.
        return inference.TurnDetector(
            version="v1-mini", unlikely_threshold=NOT_GIVEN if threshold is None else threshold
        )
    if tier.turn_detection == "smart-turn":
        from voicefleet.local.smart_turn import DEFAULT_THRESHOLD, SmartTurnDetector

        return SmartTurnDetector(threshold=DEFAULT_THRESHOLD if threshold is None else threshold)
    return tier.turn_detection
