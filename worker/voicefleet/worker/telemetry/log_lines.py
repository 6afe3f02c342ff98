"""One log line for each turn of a call: how it ended, how long its stages took, and by whom. Nothing of what was said.

Room, call, job and trace stand on every line of a job (`bind_call`), so that one search finds all of a call.
"""

from __future__ import annotations

from typing import Any

from voicefleet.runtime.logs.setup import get_logger
from voicefleet.worker.telemetry import observations as seen

log = get_logger(__name__)


def log_turn(observation: seen.Observation) -> None:
    """Log the observation if it is a turn."""
    if isinstance(observation, seen.Turn):
        log.info("turn over", **turn_fields(observation))


def turn_fields(turn: seen.Turn) -> dict[str, Any]:
    """The fields of a turn's line: times in seconds, by the stage's name."""
    return {
        "tier": turn.tier,
        "outcome": turn.outcome,
        "ttfa_s": turn.ttfa_s,
        "stages": {timing.stage: timing.seconds for timing in turn.stages},
        "providers": {timing.stage: timing.provider for timing in turn.stages},
    }
