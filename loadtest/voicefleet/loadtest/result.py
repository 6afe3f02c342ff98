"""The result of a load test: its figures, its verdict, and the JSON of both. Pure."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from voicefleet.callers.health import GeneratorHealth
from voicefleet.callers.outcome import CallOutcome, summary
from voicefleet.callers.verdict import errors_of, shortcomings
from voicefleet.loadtest.figures import figures_of
from voicefleet.loadtest.stage_times import CallReads, stages_json
from voicefleet.loadtest.thresholds import Condition, check

GENERATOR = "the load generator kept time"
"""The criterion that every run has."""
DEFAULT = "every caller was answered, no call was cut"
"""The criterion of a run without ``--fail-if``."""
WHOLE = "the whole load was played"
"""The criterion of a run that several processes or pods played together."""


class Verdict(enum.StrEnum):
    """good: it held; bad: it did not; void: the load generator was too late for its figures to count; partial: what was
    measured held, but a part of the load was not played or its results were lost."""

    GOOD = "good"
    BAD = "bad"
    VOID = "void"
    PARTIAL = "partial"

    @property
    def exit_code(self) -> int:
        """0, 1, 3 or 4; 2 is for wrong input."""
        return {"good": 0, "bad": 1, "void": 3, "partial": 4}[self.value]


def build_result(
    outcomes: Sequence[CallOutcome],
    health: GeneratorHealth,
    wall_s: float,
    *,
    fail_if: tuple[Condition, ...] = (),
    timeout_s: float = 10.0,
    engine: Mapping[str, Any] | None = None,
    reads: CallReads | None = None,
    parts: Sequence[Mapping[str, Any]] = (),
    missing: Sequence[str] = (),
) -> dict[str, Any]:
    """The JSON that ``--json`` writes.

    Args:
        fail_if: what must not become true. Empty: every caller must hear an answer to every turn, and no call be cut.
        timeout_s: what a turn without an answer counts, at least.
        engine: who held the calls, as `engine_json` gives it.
        reads: how the reading of the workers' stage times went, which are in the turns; None: nobody looked.
        parts: the processes or pods that played it together, as `merging.merged` tells them; empty: it was one.
        missing: what is missing of the load, a sentence for each part that is not whole.

    Returns:
        the keys of `outcome.summary`, and ``{"figures": {name: number or null}, "turns_cut_in",
        "generator": {lag_p99_s, lag_max_s, cpu_share, pacing_p99_s, pacing_max_s, pacing_known, start_lag_max_s},
        "engine": {name, playout_delay_s, packets} or null, "media": {"calls": for which it is known, "codecs", "paths":
        {name: calls}}, "stages": as `stages_json` has them, "verdict": good | bad | void | partial,
        "shortcomings": [sentence, ...], "remarks": [sentence, ...],
        "parts": [part, ...], "missing": [sentence, ...],
        "criteria": [{"name", "value", "held", "found"}, ...], "wall_s", "turn_timeout_s",
        "outcomes": [call, ...]}``.
        Shortcomings decide; remarks are what a run without thresholds would have been blamed for. A criterion's `value`
        is the figure of a threshold, and null for the others. A condition that became true under a part of the load is
        broken, so such a run is bad; what held under a part of it may not hold under all of it: partial.
    """
    calls = sorted(outcomes, key=lambda call: call.t_start_s)
    figures = figures_of(calls, timeout_s)
    totals = summary(calls, timeout_s=timeout_s)
    found = shortcomings(totals, errors_of(calls))
    checked = check(fail_if, figures)
    wrong = [each.sentence for each in checked if each.broken] if fail_if else found
    late = health.lateness
    criteria: list[dict[str, Any]] = [
        {"name": GENERATOR, "value": None, "held": not late, "found": late},
        *(
            {"name": each.condition.text, "value": each.value, "held": not each.broken, "found": each.sentence}
            for each in checked
        ),
    ]
    if not fail_if:
        criteria.append({"name": DEFAULT, "value": None, "held": not found, "found": "; ".join(found)})
    if parts:
        criteria.append({"name": WHOLE, "value": None, "held": not missing, "found": "; ".join(missing)})
    return {
        **totals,
        "figures": figures.to_json(),
        "turns_cut_in": sum(turn.cut_in for call in calls for turn in call.turns),
        "generator": {**health.to_json(), "start_lag_max_s": max((call.lag_s for call in calls), default=None)},
        "engine": engine,
        "media": _media(calls),
        "stages": stages_json(calls, reads),
        "verdict": _verdict(late, wrong, missing).value,
        "shortcomings": [*([f"void: {late}"] if late else []), *wrong, *(f"partial: {lost}" for lost in missing)],
        "remarks": found if fail_if else [],
        "criteria": criteria,
        "parts": [dict(part) for part in parts],
        "missing": list(missing),
        "wall_s": round(wall_s, 1),
        "turn_timeout_s": timeout_s,
        "outcomes": [call.to_json() for call in calls],
    }


def _verdict(late: str, wrong: Sequence[str], missing: Sequence[str]) -> Verdict:
    if late:
        return Verdict.VOID
    return Verdict.BAD if wrong else Verdict.PARTIAL if missing else Verdict.GOOD


def _media(calls: Sequence[CallOutcome]) -> dict[str, Any]:
    known = [call.media for call in calls if call.media is not None]
    paths = Counter(f"{media.path} {media.candidates}" for media in known if media.path)
    codecs = Counter(media.codec for media in known if media.codec)
    return {"calls": len(known), "codecs": dict(codecs), "paths": dict(paths)}
