"""A load test as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from voicefleet.callers.stages import PARTS
from voicefleet.loadtest.figures import COUNTS, LATENCIES, MEDIA, PATHS, SHOWN_STATISTICS, known_figures, media_shown
from voicefleet.loadtest.heard import media_line
from voicefleet.loadtest.stage_times import stages_sentence
from voicefleet.reporting.figure import new_figure, svg
from voicefleet.reporting.page import render_page

_TITLES = {
    "good": "It held",
    "bad": "It did not hold",
    "void": "Void: the load generator was too late",
    "partial": "Partial: what was played held, and a part of the load is missing",
}
_GOOD, _BAD, _GREY = "#2563eb", "#dc2626", "#9ca3af"
_PART_COLOURS = ("#9ca3af", "#60a5fa", "#2563eb", "#f59e0b", "#16a34a", "#a855f7", "#f472b6")
_ROWS = 200
"""Calls that the page lists; the CSV has all."""


def render_result(result: Mapping[str, Any], name: str) -> str:
    """The page of a result, as `result.build_result` makes it."""
    # A result of an older release has fewer.
    figures = {**dict.fromkeys(known_figures()), **result["figures"]}
    heard = result.get("media") or {"calls": 0}
    stages = result.get("stages")
    failed = [call for call in result["outcomes"] if call["result"] != "answered"]
    return render_page(
        "voicefleet.loadtest",
        "loadtest.html.j2",
        r=result,
        name=name,
        title=_TITLES[result["verdict"]],
        figures=figures,
        latencies=LATENCIES,
        statistics=SHOWN_STATISTICS,
        counts=COUNTS,
        media=MEDIA,
        media_shown={name: [media_shown(name, figures[f"{name}_{one}"]) for one in _of(name)] for name in MEDIA},
        media_calls=heard["calls"],
        media_said=media_line(heard) if heard["calls"] else "",
        paths=PATHS,
        stages=stages,
        stages_said=stages_sentence(stages).rstrip(".") if stages else "",
        parts=PARTS,
        parts_svg=_parts_chart(result),
        calls_svg=_calls_chart(result),
        ttfa_svg=_ttfa_chart(result),
        answers_svg=_answers_chart(result),
        failed=failed[:_ROWS],
        more=max(0, len(failed) - _ROWS),
    )


def _of(name: str) -> tuple[str, str, str]:
    return ("p50", "p5", "min") if name == "mos" else ("p50", "p95", "max")


def _parts_chart(result: Mapping[str, Any]) -> Markup:
    """The mean answer, laid out: one bar of its parts."""
    parts = (result.get("stages") or {}).get("parts") or {}
    figure = new_figure(11, 1.3)
    axis = figure.subplots()
    left = 0.0
    for (part, one), colour in zip(parts.items(), _PART_COLOURS, strict=False):
        seconds = max(0.0, one["mean"])
        axis.barh(0, seconds, left=left, color=colour, label=part)
        left += seconds
    axis.set_yticks([])
    axis.set_xlabel("seconds of the mean answer")
    if parts:
        figure.legend(fontsize=8, ncols=len(parts), loc="outside upper center")
    return svg(figure)


def _calls_chart(result: Mapping[str, Any]) -> Markup:
    """Calls in progress, as intended and as they were: what was offered, and what was heard."""
    figure = new_figure(11, 2.8)
    axis = figure.subplots()
    calls = result["outcomes"]
    if calls:
        starts = np.sort([call["t_start_s"] for call in calls])
        heard = np.sort([call["t_start_s"] + call["pickup_s"] for call in calls if call["pickup_s"] is not None])
        axis.step(starts, np.arange(1, starts.size + 1), where="post", color=_GREY, label="due")
        axis.step(heard, np.arange(1, heard.size + 1), where="post", color=_GOOD, label="heard an agent")
        joined = [call for call in calls if call["joined_at_s"] is not None]
        edges = sorted(edge for call in joined for edge in ((_join_s(call), 1), (_join_s(call) + call["ended_s"], -1)))
        if edges:
            times, steps = zip(*edges, strict=True)
            axis.step(times, np.cumsum(steps), where="post", color="#16a34a", label="in progress")
        axis.legend(loc="upper left", fontsize=8)
    axis.set_ylabel("calls")
    axis.set_xlabel("seconds since the start of the run")
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.25)
    return svg(figure)


def _ttfa_chart(result: Mapping[str, Any]) -> Markup:
    """How fast answers were: every turn as a step of the cumulative share."""
    figure = new_figure(11, 2.8)
    axis = figure.subplots()
    values = np.sort([t["ttfa_s"] for call in result["outcomes"] for t in call["turns"] if t["ttfa_s"] is not None])
    if values.size:
        axis.step(values, np.arange(1, values.size + 1) / result["figures"]["turns"] * 100, where="post", color=_GOOD)
    for percent in (50, 95):
        axis.axhline(percent, color=_GREY, lw=0.8, ls=":")
    axis.set_xlabel("time to first audio, seconds")
    axis.set_ylabel("% of all turns at most")
    axis.set_ylim(0, 102)
    axis.set_xlim(left=0)
    axis.grid(alpha=0.25)
    return svg(figure)


def _answers_chart(result: Mapping[str, Any]) -> Markup:
    """Each turn at its time: whether answers got slower while the run lasted."""
    figure = new_figure(11, 2.8)
    axis = figure.subplots()
    points = [(_join_s(call) + turn["t0_s"], turn) for call in result["outcomes"] for turn in call["turns"]]
    answered = [(at, turn["ttfa_s"]) for at, turn in points if turn["ttfa_s"] is not None]
    missing = [(at, turn["waited_s"]) for at, turn in points if not turn["answered"]]
    for found, colour, label in ((answered, _GOOD, "answered"), (missing, _BAD, "not answered: time waited")):
        if found:
            times, waits = zip(*found, strict=True)
            axis.scatter(times, waits, s=9, color=colour, label=label)
    axis.set_xlabel("seconds since the start of the run")
    axis.set_ylabel("seconds to the answer")
    axis.set_yscale("symlog", linthresh=2.0)  # A time-out must not press the answers flat.
    axis.set_yticks([0, 1, 2, 10, 60], ["0", "1", "2", "10", "60"])
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.25)
    if answered or missing:
        figure.legend(fontsize=8, ncols=2, loc="outside upper right")
    return svg(figure)


def _join_s(call: Mapping[str, Any]) -> float:
    return float(call["t_start_s"] + call["lag_s"] + call["place_s"] + (call["connect_s"] or 0.0))
