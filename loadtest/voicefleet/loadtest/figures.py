"""The figures of a run by the names that thresholds, reports and comparisons use. Pure.

A latency is named with its statistic: ``ttfa_p95``, ``pickup_max``, ``greeting_mean``, in seconds. The others are
counts of the run, and ratios between 0 and 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from voicefleet.callers.outcome import CallOutcome, samples
from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.validation import nearest

LATENCIES = {
    "ttfa": "end of a question until the answer; a question without one counts as its time-out",
    "pickup": "intended start of a call until an agent was heard",
    "greeting": "in the room until an agent was heard",
    "wait": "in the room until an agent was there",
    "stop": "begin of a question said over the agent until the agent was quiet",
}
COUNTS = {
    "calls_failed": "calls that failed, were cut, silent or without an answer",
    "calls_cut": "calls that lost their agent",
    "calls_silent": "calls that heard nothing for the turn time-out",
    "calls_abandoned": "calls whose caller lost patience",
    "turns_unanswered": "questions without an answer in time, and those never asked because the call failed",
    "turns_apologies": "questions that got an apology",
    "turns_cut_in": "questions that the agent spoke into",
}
SHOWN_STATISTICS = ("p50", "p90", "p95", "p99", "max", "mean")
_STATISTIC = re.compile(r"p(\d{1,2}(?:\.\d+)?)|max|mean")


def known_figures() -> list[str]:
    """The usual names, in the order in which reports show them."""
    latencies = [f"{name}_{statistic}" for name in LATENCIES for statistic in SHOWN_STATISTICS]
    return ["calls", "turns", *latencies, *COUNTS, *(f"{name}_ratio" for name in COUNTS)]


def with_unit(name: str, value: float | None) -> str:
    """A figure for people: seconds, a share in per cent, or a count; a dash for an unknown one."""
    if value is None:
        return "–"
    if name.endswith("_ratio"):
        return f"{value:.1%}"
    return f"{value:.2f} s" if name.rpartition("_")[0] in LATENCIES else f"{value:g}"


def require_known(name: str, *, field: str, value: str) -> None:
    """Refuse a name that is no figure's.

    Raises:
        ConfigError: it names `field` and its `value`, and says which figure was probably meant.
    """
    latency, _, statistic = name.rpartition("_")
    if name in known_figures() or (latency in LATENCIES and _STATISTIC.fullmatch(statistic)):
        return
    raise ConfigError(f"there is no figure {name!r}", field=field, value=value, hint=nearest(name, known_figures()))


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a run.

    Attributes:
        samples: of each latency, in seconds.
        counts: of the run; ratios among them. None: there was nothing to count, which is not zero.
    """

    samples: Mapping[str, Sequence[float]]
    counts: Mapping[str, float | None]

    def __getitem__(self, name: str) -> float | None:
        """The figure of a name that `require_known` accepts; None: unknown, there was no sample."""
        if name in self.counts:
            return self.counts[name]
        latency, _, statistic = name.rpartition("_")
        values = np.asarray(self.samples[latency], dtype=np.float64)
        if not values.size:
            return None
        if statistic == "mean":
            return float(values.mean())
        return float(np.quantile(values, 1.0 if statistic == "max" else float(statistic[1:]) / 100))

    def to_json(self) -> dict[str, float | None]:
        """The usual ones."""
        return {name: self[name] for name in known_figures()}


def figures_of(outcomes: Sequence[CallOutcome], timeout_s: float) -> Figures:
    """The figures of these calls; `timeout_s` is what a turn without an answer counts, at least."""
    turns = [turn for call in outcomes for turn in call.turns]
    lost = sum(call.lost_questions for call in outcomes)
    calls, asked = len(outcomes), len(turns) + lost
    counts: dict[str, float] = {
        "calls_failed": sum(call.failed for call in outcomes),
        "calls_cut": sum(call.cut for call in outcomes),
        "calls_silent": sum(call.silent for call in outcomes),
        "calls_abandoned": sum(call.ended_by == "patience" for call in outcomes),
        "turns_unanswered": sum(not turn.answered for turn in turns) + lost,
        "turns_apologies": sum(turn.apology for turn in turns),
        "turns_cut_in": sum(turn.cut_in for turn in turns),
    }
    ratios = {
        f"{name}_ratio": count / total if (total := calls if name.startswith("calls") else asked) else None
        for name, count in counts.items()
    }
    named = {name.removesuffix("_s"): values for name, values in samples(outcomes, timeout_s).items()}
    return Figures(named, {"calls": calls, "turns": asked, **counts, **ratios})
