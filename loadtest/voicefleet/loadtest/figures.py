"""The figures of a run by the names that thresholds, reports and comparisons use. Pure.

What was measured of each call or turn is named with its statistic: ``ttfa_p95``, ``pickup_max``, ``mos_p5``. Times are
in seconds, a loss is a ratio between 0 and 1, a MOS has 1 to 4.5. The others are counts of the run, and ratios.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from voicefleet.callers.outcome import CallOutcome, media_samples, samples
from voicefleet.callers.stages import PARTS, part_samples
from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.validation import nearest

LATENCIES = {
    "join": "ticket in hand until in the room",
    "ttfa": "end of a question until the answer; a question without one counts as its time-out",
    "pickup": "intended start of a call until an agent was heard",
    "greeting": "in the room until an agent was heard",
    "wait": "in the room until an agent was there",
    "stop": "begin of a question said over the agent until the agent was quiet",
}
MEDIA = {
    "rtt": "round trip between caller and LiveKit",
    "jitter": "jitter of agents' voices at the ear (RFC 3550)",
    "gap": "agents' speech that was missing at the ear, of each call",
    "loss": "packets of agents' voices that were lost",
    "mos": "MOS, estimated (ITU-T G.107); p5, as low is bad",
}
"""Of each call."""
SAMPLED = {**LATENCIES, **MEDIA, **PARTS}
COUNTS = {
    "calls_failed": "calls that failed, were cut, silent or without an answer",
    "calls_cut": "calls that lost their agent",
    "calls_silent": "calls that heard nothing for the turn time-out",
    "calls_abandoned": "calls whose caller lost patience",
    "turns_unanswered": "questions without an answer in time, and those never asked because the call failed",
    "turns_apologies": "questions that got an apology",
    "turns_cut_in": "questions that the agent spoke into",
}
PATHS = {
    "calls_relayed": "calls whose packets went by a relay (TURN)",
    "calls_over_tcp": "calls whose packets went over TCP or TLS",
}
"""Of the calls whose path is known."""
SHOWN_STATISTICS = ("p50", "p90", "p95", "p99", "max", "mean")
MOS_STATISTICS = ("p5", "p50", "mean", "min")
_STATISTIC = re.compile(r"p(\d{1,2}(?:\.\d+)?)|max|mean|min")


def known_figures() -> list[str]:
    """The usual names, in the order in which reports show them."""
    sampled = [f"{name}_{statistic}" for name in SAMPLED for statistic in statistics_of(name)]
    counts = [*COUNTS, *PATHS]
    return ["calls", "turns", *sampled, *counts, *(f"{name}_ratio" for name in counts)]


def statistics_of(name: str) -> tuple[str, ...]:
    """Those that reports show of what is `SAMPLED`."""
    return MOS_STATISTICS if name == "mos" else SHOWN_STATISTICS


def unit_of(name: str) -> str:
    """Of a figure that `require_known` accepts: ``s``, ``ratio``, or empty for a number."""
    if name.endswith("_ratio"):
        return "ratio"
    sampled = name.rpartition("_")[0]
    if sampled == "loss":
        return "ratio"
    return "s" if sampled in SAMPLED and sampled != "mos" else ""


def better_when_high(name: str) -> bool:
    """Whether more of it is better; of all else less is."""
    return name.startswith("mos_")


def told_by_workers(name: str) -> bool:
    """Whether only workers can tell this figure, so that it is unknown where they are not asked."""
    return name.rpartition("_")[0] in PARTS


def media_shown(name: str, value: float | None) -> str:
    """One of `MEDIA`, for people."""
    if value is None:
        return "–"
    if name == "mos":
        return f"{value:.2f}"
    if name == "loss":
        return f"{value:.2%}"
    return f"{1000 * value:.1f} ms"


def with_unit(name: str, value: float | None) -> str:
    """A figure for people: seconds, a share in per cent, or a number; a dash for an unknown one."""
    if value is None:
        return "–"
    unit = unit_of(name)
    if unit == "ratio":
        return f"{value:.1%}"
    if (sampled := name.rpartition("_")[0]) in MEDIA:
        return media_shown(sampled, value)
    return f"{value:.2f} s" if unit == "s" else f"{value:g}"


def require_known(name: str, *, field: str, value: str) -> None:
    """Refuse a name that is no figure's.

    Raises:
        ConfigError: it names `field` and its `value`, and says which figure was probably meant.
    """
    sampled, _, statistic = name.rpartition("_")
    if name in known_figures() or (sampled in SAMPLED and _STATISTIC.fullmatch(statistic)):
        return
    raise ConfigError(f"there is no figure {name!r}", field=field, value=value, hint=nearest(name, known_figures()))


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a run.

    Attributes:
        samples: of each that is `SAMPLED`.
        counts: of the run; ratios among them. None: there was nothing to count, which is not zero.
    """

    samples: Mapping[str, Sequence[float]]
    counts: Mapping[str, float | None]

    def __getitem__(self, name: str) -> float | None:
        """The figure of a name that `require_known` accepts; None: unknown, there was no sample."""
        if name in self.counts:
            return self.counts[name]
        sampled, _, statistic = name.rpartition("_")
        values = np.asarray(self.samples[sampled], dtype=np.float64)
        if not values.size:
            return None
        if statistic == "mean":
            return float(values.mean())
        if statistic in ("min", "max"):
            return float(values.min() if statistic == "min" else values.max())
        return float(np.quantile(values, float(statistic[1:]) / 100))

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
    sampled = {**named, **media_samples(outcomes), **part_samples(outcomes)}
    return Figures(sampled, {"calls": calls, "turns": asked, **counts, **ratios, **_path_counts(outcomes)})


def _path_counts(outcomes: Sequence[CallOutcome]) -> dict[str, float | None]:
    paths = [call.media.path for call in outcomes if call.media is not None and call.media.path]
    counts = {
        "calls_relayed": sum(path.startswith("turn/") for path in paths),
        "calls_over_tcp": sum(path.endswith(("tcp", "tls")) for path in paths),
    }
    ratios = {f"{name}_ratio": count / len(paths) if paths else None for name, count in counts.items()}
    return {**{name: count if paths else None for name, count in counts.items()}, **ratios}
