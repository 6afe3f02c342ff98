"""The demo's report: one HTML file that needs nothing else, not even a network."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from voicefleet.demo.charts import fleet_chart, timeline_chart, ttfa_chart
from voicefleet.demo.options import REGIONS
from voicefleet.demo.result import PIPELINE_NOTES
from voicefleet.demo.run import DemoRun
from voicefleet.reporting.verdict import errors_of, shortcomings
from voicefleet.runtime.command.figures import shown

_WAITS = (
    ("wait_s", "in the room until an agent was there"),
    ("greeting_s", "in the room until the greeting was heard"),
    ("ttfa_s", "end of a question until the answer was heard (TTFA)"),
)


def render_report(run: DemoRun) -> str:
    """The whole page."""
    environment = Environment(
        loader=PackageLoader("voicefleet.demo"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["seconds"] = lambda value: shown(value, " s")
    problems = shortcomings(run.result, errors_of(run.outcomes))
    return environment.get_template("report.html.j2").render(
        r=run.result,
        o=run.options,
        problems=problems,
        verdict="Some callers were let down" if problems else "Every caller was answered, no call was cut",
        pipeline_note=PIPELINE_NOTES.get(run.pipeline, ""),
        waits=_WAITS,
        fleet_svg=Markup(fleet_chart(run.history, REGIONS, run.options.slots)),
        ttfa_svg=Markup(ttfa_chart(run.outcomes)),
        timeline_svg=Markup(timeline_chart(run.outcomes)),
    )
