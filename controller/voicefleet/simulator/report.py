"""A comparison as a page of HTML and as JSON."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment

from voicefleet.simulator.advice import advise, keeps
from voicefleet.simulator.compare import Comparison, Swept
from voicefleet.simulator.pictures import over_time, pareto

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>voicefleet: {{ name }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; color: #111827 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #e5e7eb; text-align: right }
th:first-child, td:first-child { text-align: left }
tr.bad td { color: #9ca3af }
.choice { background: #eff6ff; padding: .8rem 1rem; border-radius: .5rem }
svg { width: 100%; height: auto }
</style></head><body>
<h1>What scaling would have cost: {{ name }}</h1>
<p>{{ calls }} calls in {{ hours }} hours, {{ mean_live }} in progress on average, {{ origin }}.
A worker serves {{ slots }} calls and takes {{ start }} s to start (median).
Handoff is {{ "on" if handoff else "off" }}.</p>
<div class="choice">{% for line in advice %}<p>{{ line }}</p>{% endfor %}</div>
<h2>Cost and waits</h2>{{ pareto | safe }}
<h2>The figures</h2>
<table><tr><th>policy</th><th>waited</th><th>wait p99</th><th>lost</th><th>killed</th><th>worker-hours</th>
<th>cost / least</th><th>changes</th><th>drain-hours</th></tr>
{% for o, good in rows %}<tr class="{{ '' if good else 'bad' }}"><td>{{ o.policy }}</td>
<td>{{ "%.3f %%" | format(100 * o.wait_ratio) }}</td><td>{{ "%.1f s" | format(o.wait_p99_s) }}</td><td>{{ o.lost }}</td>
<td>{{ o.killed }}</td><td>{{ "%.1f" | format(o.worker_hours) }}</td><td>{{ "%.3f" | format(o.cost_ratio) }}</td>
<td>{{ o.scale_actions }}</td><td>{{ "%.1f" | format(o.drain_hours) }}</td></tr>{% endfor %}</table>
<p>Grey: does not keep the promise. Least: {{ least }} worker-hours, the integral of calls / {{ slots }},
rounded up.</p>
{% if swept %}<h2>Baselines at their best</h2>
<table><tr><th>policy</th><th>knob</th><th>best</th><th>waited</th><th>cost / least</th></tr>
{% for s, best in swept %}<tr><td>{{ s.policy }}</td><td>{{ s.knob }}</td>
{% if best %}<td>{{ best[0] }}</td><td>{{ "%.3f %%" | format(100 * best[1].wait_ratio) }}</td>
<td>{{ "%.3f" | format(best[1].cost_ratio) }}</td>
{% else %}<td colspan="3">no value keeps the promise</td>{% endif %}</tr>
{% endfor %}</table>{% endif %}
<h2>Over time</h2>{{ over_time | safe }}
</body></html>
"""


def html(result: Comparison) -> str:
    """The page, with its pictures inside: one file to send around."""
    template = Environment(autoescape=True).from_string(_PAGE)
    span_s = float(result.trace.arrivals_s[-1] - result.trace.arrivals_s[0])
    return template.render(
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
