"""The endpointing curve as a sweep measures it: every detector that is installed, on as many turns as time allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from voicefleet.contract.errors import MissingPartError
from voicefleet.endpointing.curve import DETECTORS, endpointing_curve
from voicefleet.endpointing.turns import TEXTS, synthetic_turns
from voicefleet.speech.render import VOICES
from voicefleet.tuning.budget import CURVE_SHARE

_TURN_S = 0.45
"""What a turn costs on a busy core: its sound, and three detectors' answers at its pauses."""
_LEAST_TEXTS = 3


def texts_for(budget_s: float) -> int:
    """How many of the curve's texts, each said by every voice, a sweep of `budget_s` has time for."""
    return max(_LEAST_TEXTS, min(len(TEXTS), int(CURVE_SHARE * budget_s / _TURN_S / len(VOICES))))


def curve_rows(budget_s: float, seed: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Each detector's row, JSON-ready (`endpointing.curve.Row.to_json`); one that is not installed has none, and is
    told of."""
    turns = synthetic_turns(seed, texts=TEXTS[: texts_for(budget_s)])
    rows = []
    for name in DETECTORS:
        try:
            rows += endpointing_curve(turns, (name,))
        except MissingPartError as error:
            say(f"endpointing curve without {name}: {error}")
    say(f"endpointing curve: {', '.join(row.detector for row in rows)} on {len(turns)} turns")
    return [row.to_json() for row in rows]
