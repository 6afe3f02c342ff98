"""The endpointing curve: each detector's four figures of the benchmark on our speech, beside the published ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from voicefleet.endpointing import detectors
from voicefleet.endpointing.policy import Pause, Point, fewest_cut_ins, points, shortest_delay
from voicefleet.endpointing.published import PUBLISHED
from voicefleet.endpointing.turns import SpokenTurn
from voicefleet.runtime.clock import SystemClock

DETECTORS = ("vad", "v1-mini", "smart-turn")


@dataclass(frozen=True, slots=True)
class Row:
    """A detector's figures; a point that no policy of the grid reaches is None.

    Attributes:
        detector: as a tier names it in `turn_detection`.
        turns, holds: what it was judged by.
        ask_ms: median CPU-bound time of one answer of the detector, ms.
        pauses: every pause with its answer.
    """

    detector: str
    turns: int
    holds: int
    cut_in_at_300ms: Point | None
    cut_in_at_600ms: Point | None
    delay_at_5pct: Point | None
    delay_at_10pct: Point | None
    ask_ms: float
    pauses: tuple[Pause, ...]

    def to_json(self) -> dict[str, Any]:
        """The row of `voicefleet tune --json`, with the settings that reach each figure and the published row."""
        named = {
            "cut_in_at_300ms": self.cut_in_at_300ms,
            "cut_in_at_600ms": self.cut_in_at_600ms,
            "delay_at_5pct_s": self.delay_at_5pct,
            "delay_at_10pct_s": self.delay_at_10pct,
        }
        return {
            "detector": self.detector,
            **{name: _figure(name, point) for name, point in named.items()},
            "turns": self.turns,
            "holds": self.holds,
            "ask_ms": round(self.ask_ms, 1),
            "settings": {name: _settings(point) for name, point in named.items() if point is not None},
            "published": dict(PUBLISHED.get(self.detector, {})),
        }


def endpointing_curve(
    turns: Sequence[SpokenTurn], names: Sequence[str] = DETECTORS, *, say: Callable[[str], None] = lambda _: None
) -> list[Row]:
    """Ask every detector at every pause of `turns`. Takes about 0.1 s a turn.

    Args:
        names: of `DETECTORS`.
        say: told what is done next.

    Raises:
        MissingPartError: a detector's package is not installed.
    """
    asks = {name: detectors.build(name) for name in names}
    return [_row(name, ask, turns, say) for name, ask in asks.items()]


def _row(name: str, ask: detectors.Ask | None, turns: Sequence[SpokenTurn], say: Callable[[str], None]) -> Row:
    say(f"{name}: {len(turns)} turns")
    clock, took_ms, found = SystemClock(), list[float](), list[Pause]()

    def timed(heard: Any) -> float:
        began_s = clock.monotonic()
        sure = ask(heard) if ask is not None else 0.0
        took_ms.append((clock.monotonic() - began_s) * 1000)
        return sure

    for turn in turns:
        found += [pause for pause, _ in detectors.pauses(turn)] if ask is None else detectors.asked(turn, timed)
    every = points(found)
    return Row(
        detector=name,
        turns=sum(p.over for p in found),
        holds=every[0].holds if every else 0,
        cut_in_at_300ms=fewest_cut_ins(every, 0.3),
        cut_in_at_600ms=fewest_cut_ins(every, 0.6),
        delay_at_5pct=shortest_delay(every, 0.05),
        delay_at_10pct=shortest_delay(every, 0.10),
        ask_ms=median(took_ms) if took_ms else 0.0,
        pauses=tuple(found),
    )


def _figure(name: str, point: Point | None) -> float | None:
    if point is None:
        return None
    return round(point.cut_in_ratio if name.startswith("cut_in") else point.delay_s, 3)


def _settings(point: Point) -> dict[str, float | None]:
    policy = point.policy
    return {"threshold": policy.threshold, "min_delay_s": policy.delay_s, "max_delay_s": policy.timeout_s}
