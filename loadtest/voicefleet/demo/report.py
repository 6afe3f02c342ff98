"""The demo's report: one HTML page."""

from __future__ import annotations

from voicefleet.callers.verdict import WAITS, errors_of, shortcomings
from voicefleet.demo.charts import fleet_chart, timeline_chart, ttfa_chart
from voicefleet.demo.options import REGIONS
from voicefleet.demo.result import PIPELINE_NOTES
from voicefleet.demo.run import DemoRun
from voicefleet.reporting.page import render_page


def render_report(run: DemoRun) -> str:
    """The whole page."""
    problems = shortcomings(run.result, errors_of(run.outcomes))
    return render_page(
        "voicefleet.demo",
        "report.html.j2",
        r=run.result,
        o=run.options,
        problems=problems,
        verdict="Some calls went wrong" if problems else "Every caller was answered, no call was cut",
        pipeline_note=PIPELINE_NOTES.get(run.pipeline, ""),
        waits=WAITS,
        fleet_svg=fleet_chart(run.history, REGIONS, run.options.slots),
        ttfa_svg=ttfa_chart(run.outcomes),
        timeline_svg=timeline_chart(run.outcomes),
    )
