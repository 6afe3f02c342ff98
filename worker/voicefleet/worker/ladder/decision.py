"""Decides on which step of its ladder of tiers a worker stands. Pure: times are monotonic seconds, handed in.

    down  more calls than the tier is for, the CPU was short for `down_after_s`, or a fifth of the turns were later
          than the TTFA budget allows
    up    the CPU was calm and the turns were in time, for `up_after_s`, and the calls are few enough

The count of calls comes first: it is known before a caller has waited, CPU and late turns after it. One step at a time,
and each is judged by what came after it alone. A step up that did not hold doubles the wait before
the next one, up to eight times: a worker that cannot serve the better tier does not try it every half minute. What is
not known is no reason for a step: an unreadable CPU neither lowers nor raises.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

LATE_RATIO = 0.2
"""Share of turns over the TTFA budget that steps down: four times the 5 % that a p95 allows, so that a few turns can
tell it from chance."""

CALM_LATE_RATIO = 0.05
"""More than this share over the budget, and there is no step up."""

LEAST_TURNS = 5
"""Fewer turns say nothing of a share."""

LONGEST_WAIT = 8
"""The wait before a step up is at most so many times `up_after_s`."""


class Reason(enum.StrEnum):
    """Why the worker took a step."""

    CALLS = "calls"
    CPU = "cpu"
    TTFA = "ttfa"
    CALM = "calm"


@dataclass(frozen=True, slots=True)
class LadderRules:
    """When to step. See the schema of a tiers file for what each means; `order`: from the best tier to the fastest."""

    order: tuple[str, ...]
    cpu_down_ratio: float
    cpu_up_ratio: float
    ttfa_s: float
    down_after_s: float
    up_after_s: float
    keep_voice: bool = True
    calls: tuple[int, ...] = ()
    """The most calls at once for each tier but the last; empty: they are not counted."""

    def least_level(self, calls: int) -> int:
        """So many steps down at least, with so many calls at once."""
        return sum(calls > most for most in self.calls)

    @property
    def lowest(self) -> int:
        """The number of steps that there are below the best tier."""
        return len(self.order) - 1

    def tier(self, asked: str, level: int) -> str:
        """The tier that serves a call that asked for `asked`, `level` steps down; one that is not on the ladder stays
        as it is."""
        if asked not in self.order:
            return asked
        return self.order[min(self.order.index(asked) + level, self.lowest)]


@dataclass(frozen=True, slots=True)
class Pressure:
    """What was seen since the last step. Ratios are of all the CPU that the worker may use; None: not known, or not
    watched for long enough."""

    cpu_now: float | None
    """Mean of the last `down_after_s`."""
    cpu_long: float | None
    """Mean of the last `up_after_s`."""
    turns: int = 0
    late: int = 0
    """Of `turns`, those whose TTFA was over the budget."""
    calls: int = 0
    """At once, now."""

    @property
    def late_ratio(self) -> float:
        return self.late / self.turns if self.turns else 0.0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the worker stands: `level` steps below the tier that a call asks for."""

    since_s: float
    level: int = 0
    wait_s: float = 0.0
    """Before the next step up."""
    raised_s: float | None = None
    """The last step up; None: there was none."""
    why: str = ""
    """What the last step was taken for, in words; empty: there was none."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step to take: `standing` is where the worker stands then."""

    standing: Standing
    reason: Reason
    down: bool


def decide(rules: LadderRules, standing: Standing, seen: Pressure, now_s: float) -> Step | None:
    """The step to take now; None: the worker stays where it is."""
    stood_s = now_s - standing.since_s
    least = rules.least_level(seen.calls)
    if standing.level < least:
        most = rules.calls[standing.level]
        why = f"{seen.calls} calls at once (tier {rules.order[standing.level]}: at most {most})"
        # New calls tell nothing of how the last step up went.
        return Step(replace(standing, since_s=now_s, level=standing.level + 1, why=why), Reason.CALLS, down=True)
    if standing.level < rules.lowest and stood_s >= rules.down_after_s and (found := _pressed(rules, seen)):
        return _down(rules, standing, *found, now_s)
    wait_s = max(standing.wait_s, rules.up_after_s)
    if standing.level > least and stood_s >= wait_s and _calm(rules, seen):
        assert seen.cpu_long is not None
        why = f"calm for {wait_s:.0f} s: CPU at {seen.cpu_long:.0%}, {seen.late} of {seen.turns} turns late"
        raised = replace(standing, since_s=now_s, level=standing.level - 1, raised_s=now_s, why=why)
        return Step(raised, Reason.CALM, down=False)
    return None


def _pressed(rules: LadderRules, seen: Pressure) -> tuple[Reason, str] | None:
    if seen.cpu_now is not None and seen.cpu_now >= rules.cpu_down_ratio:
        over = f"CPU at {seen.cpu_now:.0%} for {rules.down_after_s:g} s (limit {rules.cpu_down_ratio:.0%})"
        return Reason.CPU, over
    if seen.turns >= LEAST_TURNS and seen.late_ratio >= LATE_RATIO:
        return Reason.TTFA, f"{seen.late} of the last {seen.turns} turns took over {1000 * rules.ttfa_s:.0f} ms"
    return None


def _calm(rules: LadderRules, seen: Pressure) -> bool:
    cpu = seen.cpu_long is not None and seen.cpu_long <= rules.cpu_up_ratio
    return cpu and seen.late_ratio <= CALM_LATE_RATIO


def _down(rules: LadderRules, standing: Standing, reason: Reason, why: str, now_s: float) -> Step:
    waited_s = max(standing.wait_s, rules.up_after_s)
    held = standing.raised_s is None or now_s - standing.raised_s >= waited_s
    wait_s = rules.up_after_s if held else min(2 * waited_s, LONGEST_WAIT * rules.up_after_s)
    return Step(Standing(now_s, standing.level + 1, wait_s, standing.raised_s, why), reason, down=True)
