"""The demo's result as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from voicefleet.callers.outcome import CallOutcome, summary
from voicefleet.demo.fleet_history import History


def build_result(
    outcomes: Sequence[CallOutcome],
    history: History,
    *,
    first_call_s: float,
    regions: Sequence[str],
    slots: int,
    pipeline: str,
    wall_s: float,
) -> dict[str, Any]:
    """The JSON that ``--json`` writes."""
    workers = {region: history.workers(region, first_call_s) for region in regions}
    return {
        **summary(outcomes),
        "regions": {
            region: {"workers_start": start, "workers_peak": peak, "workers_end": end, "slots_per_worker": slots}
            for region, (start, peak, end) in workers.items()
        },
        "pipeline": pipeline,
        "wall_s": round(wall_s, 1),
    }


PIPELINE_NOTES = {
    "local": " (Whisper, a question-and-answer file and flite: real models, no network)",
    "synthetic": " (no models: fixed stage latencies of 20 ms STT, 50 ms LLM and 20 ms TTS, declared)",
}
