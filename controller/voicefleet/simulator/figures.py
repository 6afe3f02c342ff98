"""The figures of a comparison's report."""

from __future__ import annotations

from markupsafe import Markup

from voicefleet.reporting.figure import new_figure, svg
from voicefleet.simulator.compare import ORACLE, VOICEFLEET, Comparison
from voicefleet.simulator.outcome import Outcome, live_calls

_OURS, _OTHERS, _SWEPT = "#2563eb", "#6b7280", "#d1d5db"


def pareto(result: Comparison) -> Markup:
    """Cost against waits, each policy a point, each sweep a line: left is cheap, below is prompt."""
    figure = new_figure(10, 4.6)
    axis = figure.subplots()
    floor = 0.3 / max(1, result.outcomes[0].offered if result.outcomes else 1)

    def place(outcome: Outcome) -> tuple[float, float]:
        return outcome.cost_ratio, max(outcome.wait_ratio, floor)

    for swept in result.swept:
        points = sorted(place(o) for _, o in swept.tried)
        axis.plot(*zip(*points, strict=True), color=_SWEPT, marker=".", lw=1, zorder=1)
    for outcome in result.outcomes:
        if outcome.policy == ORACLE:
            continue
        ours = outcome.policy == VOICEFLEET
        axis.scatter(*place(outcome), s=70 if ours else 32, color=_OURS if ours else _OTHERS, zorder=3)
        axis.annotate(outcome.policy, place(outcome), textcoords="offset points", xytext=(6, 4), fontsize=9)
    axis.axhline(result.allowed, color="#dc2626", lw=1, ls="--", label=f"promised: {result.allowed:.1%}")
    axis.set_yscale("log")
    axis.margins(x=0.12)  # names stand to the right of their points
    axis.set_xlabel("cost, times the least possible")
    axis.set_ylabel("share of calls that waited")
    axis.grid(alpha=0.25)
    axis.legend(loc="upper right")
    return svg(figure)


def over_time(result: Comparison) -> Markup:
    """Calls and ready slots over time, one band for each policy."""
    shown = [o for o in result.outcomes if o.samples]
    figure = new_figure(10, 1.5 + 1.3 * max(1, len(shown)))
    axes = figure.subplots(max(1, len(shown)), 1, sharex=True, squeeze=False)[:, 0]
    times, live = live_calls(result.trace)
    stride = max(1, len(times) // 4_000)
    for axis, outcome in zip(axes, shown, strict=False):
        hours = [s.at_s / 3600 for s in outcome.samples]
        axis.step(hours, [s.ready_slots for s in outcome.samples], where="post", lw=1, color=_OURS, label="ready slots")
        axis.plot(times[::stride] / 3600, live[::stride], lw=0.8, color="#f59e0b", label="calls")
        axis.set_title(outcome.policy, fontsize=9, loc="left")
        axis.grid(alpha=0.25)
        axis.set_ylim(bottom=0)
    axes[-1].set_xlabel("hours")
    if shown:
        axes[0].legend(fontsize=8, loc="upper right")
    return svg(figure)
