"""The published figures that ours stand beside: `livekit/eot-bench`, English, real callers (read 2026-11-29)."""

from __future__ import annotations

from collections.abc import Mapping

SOURCE = "livekit/eot-bench, README, English: 400 turns and 705 holds of people who speak to an agent"

PUBLISHED: Mapping[str, Mapping[str, float]] = {
    "vad": {"cut_in_at_300ms": 0.556, "cut_in_at_600ms": 0.217, "delay_at_5pct_s": 1.600, "delay_at_10pct_s": 1.000},
    "v1-mini": {
        "cut_in_at_300ms": 0.278,
        "cut_in_at_600ms": 0.121,
        "delay_at_5pct_s": 1.070,
        "delay_at_10pct_s": 0.698,
    },
    "smart-turn": {
        "cut_in_at_300ms": 0.352,
        "cut_in_at_600ms": 0.148,
        "delay_at_5pct_s": 1.051,
        "delay_at_10pct_s": 0.739,
    },
}

HOLD_SURVIVAL = ((0.2, 1.0), (0.3, 0.556), (0.6, 0.217), (1.0, 0.10), (1.6, 0.05), (3.5, 0.01))
"""(seconds, share of holds that last longer), as the benchmark's row for silence alone says of its callers' pauses."""
