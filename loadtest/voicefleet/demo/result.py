"""The demo's result and its verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from voicefleet.demo.history import History
from voicefleet.loadtest.outcome import CallOutcome, summary


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


def shortcomings(result: Mapping[str, Any]) -> list[str]:
    """Why the run is not good, a sentence each; empty when every caller heard an answer to every turn and no call
    was cut."""
    calls, turns = result["calls"], result["turns"]
    found = []
    if calls["answered"] < calls["offered"]:
        found.append(f"{calls['offered'] - calls['answered']} of {calls['offered']} callers never heard an agent")
    if calls["silent"]:
        found.append(f"{calls['silent']} callers were left in silence for more than 10 s")
    if calls["cut"]:
        found.append(f"{calls['cut']} calls were cut")
    if turns["answered"] < turns["asked"]:
        found.append(f"{turns['asked'] - turns['answered']} of {turns['asked']} turns were not answered")
    return found


PIPELINE_NOTES = {
    "local": " (Whisper, a question-and-answer file and flite: real models, no network)",
    "synthetic": " (no models: fixed stage latencies of 20 ms STT, 50 ms LLM and 20 ms TTS, declared)",
}
