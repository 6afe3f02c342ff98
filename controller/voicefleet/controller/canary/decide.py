"""Whether a canary is promoted, rolled back, or watched on. Pure.

Its figures stand beside those of the stable version over the same time, so that a fault that both have (a provider that
is down) is not held against it. Every objective is a share: bad ones of all, with a bound. A TTFA p95 is one too: at
most 5 % of the turns are slower.

It is rolled back at once when what was seen would be very unlikely (`ALPHA`) if its true share were within the bound;
so one bad turn of two is not enough, and three of three is. When its time and its calls are over, the share itself
decides.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

ALPHA = 0.001
SLOW_RATIO = 0.05
"""Of the turns, that a p95 leaves above it."""
NEVER_READY_S = 30.0
"""So long no worker of it is ready, and starts fail: its workers do not start."""


class Decision(enum.StrEnum):
    """What is to become of a canary."""

    WAIT = "wait"
    PROMOTE = "promote"
    ROLL_BACK = "roll_back"


@dataclass(frozen=True, slots=True)
class Share:
    """`bad` of `total`."""

    bad: int
    total: int

    @property
    def ratio(self) -> float:
        """0.0 of nothing."""
        return self.bad / self.total if self.total else 0.0

    def __str__(self) -> str:
        return f"{self.bad} of {self.total}"


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective, and how both versions do by it."""

    name: str
    """What is counted as bad, as it reads in a sentence: `turns without an answer`."""
    most_ratio: float
    canary: Share
    stable: Share

    @property
    def held(self) -> bool:
        return self.canary.ratio <= self.most_ratio

    @property
    def bound(self) -> float:
        """The share that the canary may have: the objective's, or the stable version's own where that is higher."""
        return max(self.most_ratio, self.stable.ratio)

    @property
    def surely_missed(self) -> bool:
        """Whether so many bad ones would be very unlikely within the bound."""
        return tail(self.canary.bad, self.canary.total, self.bound) < ALPHA

    def __str__(self) -> str:
        return (
            f"{self.canary} {self.name} ({self.canary.ratio:.1%}, allowed {self.most_ratio:.1%}); "
            f"the stable version: {self.stable}"
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a canary and of the stable version beside it, since it began."""

    elapsed_s: float
    calls: int
    """Calls that tell something of it."""
    objectives: Sequence[Objective]
    min_calls: int
    duration_s: float
    not_ready_s: float = 0.0
    """For how long it has wanted workers and had none that is ready; 0.0: it has one, or wants none."""
    start_error: str = ""
    """Why its workers do not start; empty: nothing is known to be wrong."""


@dataclass(frozen=True, slots=True)
class Verdict:
    decision: Decision
    reason: str
    """One sentence, without a full stop."""


def decide(seen: Evidence) -> Verdict:
    """The verdict on what was seen so far."""
    if seen.start_error and seen.not_ready_s >= NEVER_READY_S:
        why = f"no worker of it was ready for {seen.not_ready_s:.0f} s: {seen.start_error}"
        return Verdict(Decision.ROLL_BACK, why)
    for objective in seen.objectives:
        if objective.surely_missed:
            return Verdict(Decision.ROLL_BACK, str(objective))
    if seen.elapsed_s < seen.duration_s or seen.calls < seen.min_calls:
        return Verdict(
            Decision.WAIT,
            f"{seen.calls} of {seen.min_calls} calls, {min(seen.elapsed_s, seen.duration_s):.0f} of "
            f"{seen.duration_s:.0f} s",
        )
    if unseen := [objective for objective in seen.objectives if not objective.canary.total]:
        return Verdict(Decision.WAIT, f"nothing is known yet of its {unseen[0].name}")
    missed = [objective for objective in seen.objectives if not objective.held]
    if not missed:
        return Verdict(Decision.PROMOTE, f"all objectives held over {seen.calls} calls and {seen.elapsed_s:.0f} s")
    for objective in missed:
        if objective.canary.ratio > objective.stable.ratio:
            return Verdict(Decision.ROLL_BACK, str(objective))
    return Verdict(Decision.WAIT, f"the stable version misses it as well: {missed[0]}")


def tail(bad: int, total: int, ratio: float) -> float:
    """Chance of `bad` or more of `total` when each is bad with chance `ratio`."""
    if bad <= 0:
        return 1.0
    if ratio <= 0.0:
        return 0.0
    if ratio >= 1.0:
        return 1.0
    if bad <= total * ratio:
        return 1.0  # more than half, or near it: never unlikely
    log_p, log_q = math.log(ratio), math.log1p(-ratio)
    choose = math.lgamma(total + 1)
    terms = (
        math.exp(choose - math.lgamma(k + 1) - math.lgamma(total - k + 1) + k * log_p + (total - k) * log_q)
        for k in range(bad, total + 1)
    )
    return min(1.0, math.fsum(terms))
