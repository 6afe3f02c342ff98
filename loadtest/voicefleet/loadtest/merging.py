"""One result of the parts of a run, which several processes or pods played together. Pure.

Calls are merged, not figures: percentiles of all calls are those of the whole run, exactly. (A histogram of a fixed
resolution would be smaller, and would lose which turns belong to one call, which a comparison of two runs needs. A
call is two kilobytes.) The generator's health is that of the worst part: one that was late voids the run instead of
being averaged away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from voicefleet.callers.health import GeneratorHealth
from voicefleet.callers.outcome import CallOutcome
from voicefleet.loadtest.result import build_result
from voicefleet.loadtest.stage_times import CallReads
from voicefleet.loadtest.thresholds import Condition


@dataclass(frozen=True, slots=True)
class Part:
    """What one process or pod brought.

    Attributes:
        name: for people, such as ``pod 1``.
        planned: calls of its share.
        outcomes: of the calls that it told of.
        health: of its generator, as it last told; None: it told nothing.
        wall_s: how long it played, as far as is known; None: it never began.
        engine: who held its calls, as `engine_json` gives it; None: it did not tell.
        reads: how the reading of the workers' stage times went; None: it did not come to that.
        trouble: why it is not whole, in words; empty: it ended in order.
        facts: what else the result tells of it.
    """

    name: str
    planned: int
    outcomes: tuple[CallOutcome, ...]
    health: GeneratorHealth | None
    wall_s: float | None
    engine: Mapping[str, Any] | None = None
    reads: CallReads | None = None
    trouble: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def missing(self) -> str:
        """What is missing of it, a sentence; empty: nothing."""
        lost = self.planned - len(self.outcomes)
        calls = f"; {lost} of its {self.planned} calls are missing" if lost > 0 else ""
        if not self.trouble and not calls:
            return ""
        return f"{self.name}: {self.trouble or 'some of its results were lost'}{calls}"

    def to_json(self) -> dict[str, Any]:
        """What a result tells of it."""
        return {
            "name": self.name,
            "planned": self.planned,
            "finished": len(self.outcomes),
            "missing": self.missing,
            "generator": None if self.health is None else self.health.to_json(),
            "wall_s": None if self.wall_s is None else round(self.wall_s, 1),
            **self.facts,
        }


def merged(parts: Sequence[Part], *, fail_if: tuple[Condition, ...], timeout_s: float) -> dict[str, Any]:
    """The result of the whole run, as `build_result` gives it.

    Args:
        parts: all that were asked to play a share, also those that told nothing; at least one.
        fail_if, timeout_s: as for `build_result`.
    """
    return build_result(
        [outcome for part in parts for outcome in part.outcomes],
        worst([part.health for part in parts if part.health is not None]),
        max((part.wall_s for part in parts if part.wall_s is not None), default=0.0),
        fail_if=fail_if,
        timeout_s=timeout_s,
        engine=_engine([part.engine for part in parts if part.engine is not None]),
        reads=_reads([part.reads for part in parts if part.reads is not None]),
        parts=[part.to_json() for part in parts],
        missing=[part.missing for part in parts if part.missing],
    )


def worst(healths: Sequence[GeneratorHealth]) -> GeneratorHealth:
    """The health of a generator of several machines: late is the one that was late the most."""
    return GeneratorHealth(
        lag_p99_s=_largest(health.lag_p99_s for health in healths),
        lag_max_s=_largest(health.lag_max_s for health in healths),
        cpu_share=max((health.cpu_share for health in healths), default=0.0),
        pacing_p99_s=_largest(health.pacing_p99_s for health in healths),
        pacing_max_s=_largest(health.pacing_max_s for health in healths),
        pacing_known=all(health.pacing_known for health in healths),
    )


def _reads(reads: Sequence[CallReads]) -> CallReads | None:
    if not reads:
        return None
    return CallReads(
        sum(one.calls for one in reads),
        sum(one.read for one in reads),
        sum(one.unknown for one in reads),
        next((one.why for one in reads if one.why), ""),
    )


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _engine(engines: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The first one's words, with the counts of all."""
    if not engines:
        return None
    counted = [engine["packets"] for engine in engines if engine.get("packets")]
    return {**engines[0], "packets": _sum(counted) if counted else None}


def _sum(counts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    # Of jitter each part has told its worst call's.
    return {
        name: (max if name.startswith("jitter") else sum)(count.get(name, 0) for count in counts) for name in counts[0]
    }
