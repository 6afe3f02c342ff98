"""The figures of the demo's report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from voicefleet.callers.outcome import CallOutcome
from voicefleet.demo.fleet_history import History, Sample
from voicefleet.reporting.figure import new_figure, svg

_COLOURS = {"live": "#2563eb", "waiting": "#dc2626", "ready": "#16a34a", "starting": "#eab308", "draining": "#a855f7"}
_REPLY, _QUESTION, _WAIT = "#2563eb", "#f59e0b", "#e5e7eb"


def fleet_chart(history: History, regions: Sequence[str], slots: int) -> Markup:
    """Calls and workers of every region over time; one column a region."""
    figure = new_figure(11, 5.2)
    axes = np.atleast_2d(figure.subplots(2, len(regions), sharex=True, sharey="row"))
    for column, region in enumerate(regions):
        samples = history.samples.get(region, [])
        calls, workers = axes[0][column], axes[1][column]
        calls.set_title(region, fontweight="bold")
        _steps(calls, samples, "live")
        _steps(calls, samples, "waiting")
        capacity = [(s.t_s, s.slots) for s in samples if s.slots is not None]
        if capacity:
            calls.step(*zip(*capacity, strict=True), where="post", color="#9ca3af", ls="--", label="slots")
        for name in ("ready", "starting", "draining"):
            _steps(workers, samples, name)
        workers.set_xlabel("seconds since the start of the demo")
        for axis in (calls, workers):
            axis.yaxis.get_major_locator().set_params(integer=True)
            axis.set_ylim(bottom=0)
            axis.grid(alpha=0.25)
    axes[0][0].set_ylabel("calls")
    axes[1][0].set_ylabel(f"workers ({slots} slots each)")
    lines: dict[str, Any] = {}
    for axis in (axes[0][0], axes[1][0]):
        found, names = axis.get_legend_handles_labels()
        lines.update(zip(names, found, strict=True))
    figure.legend(list(lines.values()), list(lines), fontsize=8, ncols=max(1, len(lines)), loc="outside lower center")
    return svg(figure)


def ttfa_chart(outcomes: Sequence[CallOutcome]) -> Markup:
    """How fast answers were at the callers' ears: every turn as a step of the cumulative share."""
    figure = new_figure(11, 3.0)
    axis = figure.subplots()
    for region in sorted({o.region for o in outcomes if o.region}):
        values = sorted(t.ttfa_s for o in outcomes if o.region == region for t in o.turns if t.ttfa_s is not None)
        if values:
            share = np.arange(1, len(values) + 1) / len(values) * 100
            axis.step(values, share, where="post", label=f"{region}: {len(values)} turns", marker="o", ms=3)
    for percent in (50, 95):
        axis.axhline(percent, color="#9ca3af", lw=0.8, ls=":")
    axis.set_xlabel("time to first audio, seconds (end of the caller's speech to the agent's first sound)")
    axis.set_ylabel("% of turns at most")
    axis.set_ylim(0, 102)
    axis.set_xlim(left=0)
    axis.grid(alpha=0.25)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="lower right", fontsize=8)
    return svg(figure)


def timeline_chart(outcomes: Sequence[CallOutcome]) -> Markup:
    """Every call as a bar: grey until the agent's first sound, orange questions, blue answers."""
    calls = sorted(outcomes, key=lambda o: o.t_start_s)
    figure = new_figure(11, 1.2 + 0.26 * max(len(calls), 1))
    axis = figure.subplots()
    for row, call in enumerate(calls):
        _timeline_row(axis, row, call)
    axis.set_yticks(range(len(calls)), [f"{c.call_id} {c.region}" for c in calls], fontsize=7)
    axis.invert_yaxis()
    axis.set_xlabel("seconds since the first caller was due")
    axis.grid(axis="x", alpha=0.25)
    handles = [mpl.patches.Patch(color=c) for c in (_WAIT, _REPLY, _QUESTION, "#fecaca")]
    names = ["until the greeting", "agent", "caller", "question to answer"]
    figure.legend(handles=handles, labels=names, fontsize=8, ncols=4, loc="outside lower center")
    return svg(figure)


def _timeline_row(axis: Axes, row: int, call: CallOutcome) -> None:
    zero = call.t_start_s + call.lag_s + call.place_s + (call.connect_s or 0.0)
    greeting = call.greeting_s if call.greeting_s is not None else call.ended_s
    spans = [(call.t_start_s, zero + greeting, _WAIT)]
    first_question = call.turns[0].asked_at_s if call.turns else call.ended_s
    if call.greeting_s is not None:
        spans.append((zero + greeting, zero + first_question, _REPLY))
    for i, turn in enumerate(call.turns):
        heard = turn.t0_s + turn.waited_s
        until = call.turns[i + 1].asked_at_s if i + 1 < len(call.turns) else call.ended_s
        spans += [
            (zero + turn.asked_at_s, zero + turn.t0_s, _QUESTION),
            (zero + turn.t0_s, zero + heard, "#fecaca"),
            (zero + heard, zero + (turn.reply_end_s or until), _REPLY),
        ]
    for start, end, colour in spans:
        axis.barh(row, max(0.0, end - start), left=start, color=colour, height=0.62, edgecolor="none")
    if call.cut or call.silent or call.error:
        word = "cut" if call.cut else "silent" if call.silent else "failed"
        axis.text(zero + call.ended_s, row, f" {word}", color="#dc2626", va="center", fontsize=7)


def _steps(axis: Axes, samples: Sequence[Sample], name: str) -> None:
    known = [(s.t_s, getattr(s, name)) for s in samples if getattr(s, name) is not None]
    if known:
        axis.step(*zip(*known, strict=True), where="post", color=_COLOURS[name], label=name)
