"""The page of a sweep: the front, what each option buys, the held-out check, the curve, turns to listen to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from voicefleet.reporting.figure import new_figure, svg
from voicefleet.reporting.page import render_page
from voicefleet.tuning.ablation import OptionWorth
from voicefleet.tuning.result import SweepResult
from voicefleet.tuning.samples import Sample

_CHOSEN, _FRONT, _OTHER = "#15803d", "#2563eb", "#9ca3af"


def render_report(result: SweepResult, options: Sequence[OptionWorth], samples: Sequence[Sample]) -> str:
    """The whole page."""
    document = result.document
    return render_page(
        "voicefleet.tuning",
        "report.html.j2",
        d=document,
        evidence=result.evidence,
        options=options,
        samples=samples,
        front_svg=front_chart(document["configs"], document["chosen"]),
    )


def front_chart(rows: Sequence[Mapping[str, Any]], chosen: str) -> Markup:
    """Success over TTFA p95, each setting with its 95 % intervals; the front as a line."""
    figure = new_figure(11, 5.0)
    axis = figure.subplots()
    known = [r for r in rows if r["success"] is not None and r["ttfa_p95_s"] is not None]
    for row in sorted(known, key=lambda r: (r["pareto"], r["name"] == chosen)):
        colour = _CHOSEN if row["name"] == chosen else _FRONT if row["pareto"] else _OTHER
        x, y = row["ttfa_p95_s"], 100 * row["success"]
        strong = row["pareto"] or row["name"] == chosen
        axis.errorbar(
            [x],
            [y],
            xerr=_bars(x, row["ttfa_p95_s_ci"], 1.0),
            yerr=_bars(y, row["success_ci"], 100.0),
            fmt="o",
            ms=8 if strong else 4,
            color=colour,
            alpha=1.0 if strong else 0.5,
            elinewidth=1.2 if strong else 0.6,
        )
        if strong:
            axis.annotate(
                f" {row['name']}", (x, y), fontsize=8, color=colour, xytext=(4, 5), textcoords="offset points"
            )
    line = sorted((r["ttfa_p95_s"], 100 * r["success"]) for r in known if r["pareto"])
    if line:
        axis.step(*zip(*line, strict=True), where="post", color=_FRONT, lw=1, alpha=0.6)
    axis.set_xlabel("TTFA p95 at the caller's ear, seconds (left is faster)")
    axis.set_ylabel("tasks done, %")
    axis.set_ylim(-3, 103)
    axis.set_xlim(left=0)
    axis.grid(alpha=0.25)
    return svg(figure)


def _bars(value: float, interval: Sequence[float | None], scale: float) -> list[list[float]] | None:
    low, high = interval
    if low is None or high is None:
        return None
    return [[max(0.0, value - scale * low)], [max(0.0, scale * high - value)]]
