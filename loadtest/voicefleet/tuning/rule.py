"""The rule by which one setting is chosen, fixed before anything is measured. Pure.

    max success where ttfa_p95_s <= 0.8, else min ttfa_p95_s

The first part names what shall be highest (`max`) or lowest (`min`), `where` its bounds (several by `and`); when
nothing keeps the bounds, the part behind `else` chooses among all. Of equals the faster is taken, then the cheaper.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.validation import closest

METRICS = (
    "success",
    "pass_k",
    "slot_f1",
    "cut_in_ratio",
    "selectivity",
    "reply_wer",
    "ttfa_p50_s",
    "ttfa_p95_s",
    "cpu_s_per_call_min",
    "calls_per_worker",
)
DEFAULT_RULE = "max success where ttfa_p95_s <= 0.8, else min ttfa_p95_s"
_SHAPE = "max METRIC [where METRIC <= NUMBER [and METRIC >= NUMBER]][, else min METRIC]"
_GOAL = re.compile(r"(max|min)\s+(\w+)")
_BOUND = re.compile(r"(\w+)\s*(<=|>=)\s*([0-9.]+)")

Figures = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Goal:
    """What shall be highest or lowest."""

    metric: str
    highest: bool

    def key(self, figures: Figures) -> float:
        """Lower is better; what is unknown is worst."""
        value = figures.get(self.metric)
        return float("inf") if value is None else -value if self.highest else value


@dataclass(frozen=True, slots=True)
class Bound:
    """A metric's least or greatest value."""

    metric: str
    at_most: bool
    value: float

    def kept(self, figures: Figures) -> bool:
        """Whether `figures` keep it; an unknown value does not."""
        value = figures.get(self.metric)
        return value is not None and (value <= self.value if self.at_most else value >= self.value)


@dataclass(frozen=True, slots=True)
class Rule:
    """A whole rule."""

    text: str
    goal: Goal
    bounds: tuple[Bound, ...] = ()
    otherwise: Goal | None = None

    def kept(self, figures: Figures) -> bool:
        """Whether `figures` keep all bounds."""
        return all(bound.kept(figures) for bound in self.bounds)

    def key(self, figures: Figures) -> tuple[float, ...]:
        """For sorting: the best first."""
        kept = self.kept(figures)
        goal = self.goal if kept or self.otherwise is None else self.otherwise
        tie = (Goal("ttfa_p95_s", highest=False), Goal("cpu_s_per_call_min", highest=False))
        return (0.0 if kept else 1.0, goal.key(figures), *(other.key(figures) for other in tie))


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and whether it keeps the rule's bounds; `why` says it in a sentence."""

    name: str
    within_bounds: bool
    why: str


def parse_rule(text: str) -> Rule:
    """The rule in `text`.

    Raises:
        ConfigError: it is none, or names a metric that there is not.
    """
    first, _, rest = text.partition("else")
    said, _, bounds = first.rstrip(" ,;").partition(" where ")
    otherwise = _goal(rest.strip(), text) if rest.strip() else None
    found = []
    for part in filter(None, (p.strip() for p in re.split(r"\band\b|,", bounds))):
        match = _BOUND.fullmatch(part)
        if match is None:
            raise _wrong(text, f"{part!r} is no bound")
        found.append(Bound(_metric(match[1], text), match[2] == "<=", _number(match[3], text)))
    return Rule(" ".join(text.split()), _goal(said.strip(), text), tuple(found), otherwise)


def choose(rule: Rule, figures: Mapping[str, Figures]) -> Choice:
    """The best of `figures` (name -> its metrics, at least one) by `rule`."""
    name = min(figures, key=lambda n: rule.key(figures[n]))
    kept = rule.kept(figures[name])
    if kept:
        many = sum(rule.kept(f) for f in figures.values())
        return Choice(name, True, f"the best by the rule; {many} of {len(figures)} settings keep its bounds")
    bounds = " and ".join(f"{b.metric} {'<=' if b.at_most else '>='} {b.value:g}" for b in rule.bounds)
    if rule.otherwise is None:
        return Choice(name, False, f"no setting keeps {bounds}; the best by the rule without its bounds")
    best = f"{'highest' if rule.otherwise.highest else 'lowest'} {rule.otherwise.metric}"
    return Choice(name, False, f"no setting keeps {bounds}; this one has the {best}")


def _goal(text: str, whole: str) -> Goal:
    match = _GOAL.fullmatch(text)
    if match is None:
        raise _wrong(whole, f"{text!r} is neither max METRIC nor min METRIC")
    return Goal(_metric(match[2], whole), match[1] == "max")


def _metric(name: str, whole: str) -> str:
    if name in METRICS:
        return name
    close = closest(name, METRICS)
    hint = f"Did you mean {close}?" if close else f"Metrics: {', '.join(METRICS)}."
    raise ConfigError(f"there is no metric {name}", field="--rule", value=whole, hint=hint)


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise _wrong(whole, f"{text} is no number") from error


def _wrong(text: str, what: str) -> ConfigError:
    return ConfigError(what, field="--rule", value=text, hint=f"Write: {_SHAPE}.")
