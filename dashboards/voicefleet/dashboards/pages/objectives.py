"""Budgets and how fast they burn."""

from __future__ import annotations

from voicefleet.dashboards.alerting.rules import BAD, BUDGET, TOTAL, burn_alert_name, ratio
from voicefleet.dashboards.alerting.slo import OBJECTIVES, Objective
from voicefleet.dashboards.panels import SELECT, Panel, Query, panel


def _burn(objective: Objective) -> Panel:
    slo = f'{SELECT},slo="{objective.name}"'
    return panel(
        objective.name,
        f"Promised: {objective.title}. How many times too fast the budget is spent: 1 uses it up in 30 days; "
        "14.4 over an hour, or 6 over six hours, pages.",
        "short",
        *(
            Query(f'{ratio(window)}{{{slo}}} / on (slo) group_left () {BUDGET}{{slo="{objective.name}"}}', legend)
            for window, legend in (("5m", "{{region}} 5m"), ("1h", "{{region}} 1h"), ("6h", "{{region}} 6h"))
        ),
        alert=burn_alert_name(objective),
    )


ROWS = (
    (
        "Over 30 days",
        (
            panel(
                "Budget left",
                "Share of the 30 days' budget of bad events that is left. Below zero the promise is broken.",
                "percentunit",
                Query(
                    f"1 - (sum_over_time({BAD}{{{SELECT}}}[30d]) / (sum_over_time({TOTAL}{{{SELECT}}}[30d]) > 0))"
                    f" / on (slo) group_left () {BUDGET}",
                    "{{region}} {{slo}}",
                ),
                look="number",
                width=24,
                height=6,
                red_below=0.0,
                act="Below a tenth: release nothing that can wait, and look at which objective below burns.",
            ),
        ),
    ),
    ("How fast", tuple(_burn(objective) for objective in OBJECTIVES)),
    (
        "Events",
        (
            panel(
                "All events",
                "Per second, by objective.",
                "reqps",
                Query(f"{TOTAL}{{{SELECT}}}", "{{region}} {{slo}}"),
                width=12,
                to="voicefleet-fleet",
            ),
            panel(
                "Bad events",
                "Per second, by objective.",
                "reqps",
                Query(f"{BAD}{{{SELECT}}}", "{{region}} {{slo}}"),
                width=12,
                to="voicefleet-fleet",
            ),
        ),
    ),
)
