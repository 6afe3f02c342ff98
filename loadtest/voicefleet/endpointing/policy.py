"""From pauses to the four figures of a detector. Pure; the definitions are those of `livekit/eot-bench`.

A turn is full of pauses: all but its last are *holds*, in which the caller will go on; the last is the turn's end. A
policy ends a turn `delay_s` into a pause where the detector was at least `threshold` sure, else `timeout_s` into it. A
hold that lasts longer than that is cut into. Every policy of a grid is tried; a figure is the best that any reaches.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

HOLD_S = (0.2, 5.0)
"""Holds shorter or longer than this do not count, as in the benchmark."""

DELAYS_S = tuple(n / 10 for n in range(2, 11))
TIMEOUTS_S = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5)
THRESHOLDS = tuple(n / 100 for n in range(100))


@dataclass(frozen=True, slots=True)
class Pause:
    """A silence inside a turn, or behind it.

    Attributes:
        turn: which turn.
        over: the turn is over; else a hold.
        duration_s: of a hold; of the turn's end it says nothing.
        sure: how sure the detector was that the turn is over, 0-1; None: it goes by silence alone.
    """

    turn: str
    over: bool
    duration_s: float
    sure: float | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A tier's `endpointing`: `threshold`, `min_delay_s` and `max_delay_s`."""

    threshold: float | None
    delay_s: float
    timeout_s: float

    def ends_after_s(self, pause: Pause) -> float:
        """How long into the pause the turn is ended, where it lasts as long."""
        if self.threshold is None or pause.sure is None or pause.sure >= self.threshold:
            return self.delay_s
        return self.timeout_s

    def cuts_into(self, pause: Pause) -> bool:
        return not pause.over and self.ends_after_s(pause) < pause.duration_s


@dataclass(frozen=True, slots=True)
class Point:
    """What a policy reaches: `cut_ins` of `holds`, and the mean delay after the true ends of turns, seconds."""

    policy: Policy
    cut_ins: int
    holds: int
    delay_s: float

    @property
    def cut_in_ratio(self) -> float:
        return self.cut_ins / self.holds


def policies(*, by_silence: bool) -> Iterator[Policy]:
    """The benchmark's grid; for a detector that goes by silence alone, its delays and time-outs as delays."""
    if by_silence:
        yield from (Policy(None, delay, delay) for delay in (*DELAYS_S, *TIMEOUTS_S[1:]))
        return
    for delay in DELAYS_S:
        for timeout in (t for t in TIMEOUTS_S if t >= delay):
            yield from (Policy(threshold, delay, timeout) for threshold in THRESHOLDS)


def points(pauses: Sequence[Pause]) -> list[Point]:
    """Every policy of the grid on these pauses; empty where there are no holds or no ends to judge by."""
    holds = [p for p in pauses if not p.over and HOLD_S[0] <= p.duration_s <= HOLD_S[1]]
    ends = [p for p in pauses if p.over]
    if not holds or not ends:
        return []
    by_silence = all(p.sure is None for p in (*holds, *ends))
    return [
        Point(
            policy,
            sum(policy.cuts_into(p) for p in holds),
            len(holds),
            math.fsum(policy.ends_after_s(p) for p in ends) / len(ends),
        )
        for policy in policies(by_silence=by_silence)
    ]


def fewest_cut_ins(found: Iterable[Point], delay_s: float) -> Point | None:
    """The point with the fewest cut-ins of those whose mean delay is at most `delay_s`; None: there is none."""
    return min(
        (p for p in found if p.delay_s <= delay_s + 1e-9), key=lambda p: (p.cut_in_ratio, p.delay_s), default=None
    )


def shortest_delay(found: Iterable[Point], cut_in_ratio: float) -> Point | None:
    """The point with the shortest mean delay of those with at most this share of holds cut; None: there is none."""
    return min(
        (p for p in found if p.cut_in_ratio <= cut_in_ratio), key=lambda p: (p.delay_s, p.cut_in_ratio), default=None
    )
