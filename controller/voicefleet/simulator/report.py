"""A comparison as a page of HTML and as JSON."""

from __future__ import annotations

from typing import Any

from voicefleet.reporting.page import render_page
from voicefleet.simulator.advice import advise, keeps
from voicefleet.simulator.compare import Comparison, Swept
from voicefleet.simulator.figures import over_time, pareto


def html(result: Comparison) -> str:
    """The page, with its figures inside: one file to send around."""
    span_s = float(result.trace.arrivals_s[-1] - result.trace.arrivals_s[0])
    return render_page(
        "voicefleet.simulator",
        "comparison.html.j2",
        name=result.trace.name,
        origin=result.trace.origin,
        calls=len(result.trace),
        hours=f"{span_s / 3600:.1f}",
        mean_live=f"{result.trace.mean_live:.0f}",
        slots=result.world.slots,
        start=f"{result.world.start_p50_s:g}",
        handoff=result.world.handoff,
        least=f"{result.oracle_hours:.1f}",
        advice=advise(result),
        rows=[(o, keeps(o, result.allowed)) for o in result.outcomes],
        swept=[(s, s.best(result.allowed)) for s in result.swept],
        pareto=pareto(result),
        over_time=over_time(result),
    )


def to_json(result: Comparison) -> dict[str, Any]:
    """What `voicefleet simulate --json` writes."""
    trace = result.trace
    document: dict[str, Any] = {
        "trace": {
            "name": trace.name,
            "origin": trace.origin,
            "calls": len(trace),
            "span_s": round(float(trace.arrivals_s[-1] - trace.arrivals_s[0]), 3),
            "mean_live": round(trace.mean_live, 3),
            "mean_duration_s": round(float(trace.durations_s.mean()), 3),
        },
        "policies": {o.policy: o.to_json() for o in result.outcomes},
        "oracle_worker_hours": round(result.oracle_hours, 4),
    }
    if result.swept:
        document["sweep"] = {s.policy: _swept(s, result.allowed) for s in result.swept}
    return document


def _swept(swept: Swept, allowed: float) -> dict[str, Any]:
    best = swept.best(allowed)
    return {
        "knob": swept.knob,
        "best": None if best is None else {"value": best[0], **best[1].to_json()},
        "tried": [{"value": value, **outcome.to_json()} for value, outcome in swept.tried],
    }
