"""Prometheus rules: recordings of the objectives, their burn-rate alerts, and the alerts of causes.

The long windows are sums of the five-minute rates: weighted by traffic, and cheap for 30 days.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voicefleet.dashboards.alerting.alerts import ALERTS
from voicefleet.dashboards.alerting.slo import BURNS, LEAST_EVENTS, OBJECTIVES, WINDOWS, Burn, Objective, seconds

RUNBOOKS = "dashboards/runbooks.md"
"""Where runbooks are found: an address of yours, see the chart's `prometheusRule.runbookUrl`."""
CAUSES_EVERY = "10s"
"""Half a minute from a fault to its page: 3 s for the controller, then a scrape, then this."""
TOTAL = "region_slo:voicefleet_events:rate5m"
BAD = "region_slo:voicefleet_bad_events:rate5m"
BUDGET = "region_slo:voicefleet_error_budget:ratio"


def ratio(window: str) -> str:
    """The name of the share of bad events over `window`."""
    return f"region_slo:voicefleet_bad:ratio_rate{window}"


def burn_alert_name(objective: Objective) -> str:
    """``VoicefleetTtfa800msBudgetBurn``."""
    return f"Voicefleet{''.join(part.capitalize() for part in objective.name.split('_'))}BudgetBurn"


def recordings() -> list[dict[str, Any]]:
    """The recording rules, in the order they build upon each other."""
    found: list[dict[str, Any]] = []
    for objective in OBJECTIVES:
        slo = {"slo": objective.name}
        found += [
            {"record": TOTAL, "expr": objective.total, "labels": slo},
            {"record": BAD, "expr": objective.bad, "labels": slo},
            {"record": BUDGET, "expr": f"vector({objective.budget:g})", "labels": slo},
        ]
    for window in WINDOWS:
        bad, total = (f"sum_over_time({name}[{window}])" for name in (BAD, TOTAL))
        found.append({"record": ratio(window), "expr": f"{bad} / ({total} > 0)"})
    return found


def burn_expression(objective: Objective, burn: Burn) -> str:
    """Both windows burn the budget `factor` times too fast, and there were events enough to say so."""
    assert burn.factor * objective.budget < 1, f"{objective.name} {burn.long}: a ratio is never above 1"
    slo = f'{{slo="{objective.name}"}}'
    # The budget as it is recorded: whoever promises another share changes one rule.
    limit = f"on (slo) group_left () ({burn.factor:g} * {BUDGET}{slo})"
    return (
        f"{ratio(burn.long)}{slo} > {limit} and {ratio(burn.short)}{slo} > {limit}"
        f" and avg_over_time({TOTAL}{slo}[{burn.long}]) * {seconds(burn.long)} >= {LEAST_EVENTS}"
    )


def burn_alerts() -> list[dict[str, Any]]:
    """Four alerts for each objective."""
    return [
        {
            "alert": burn_alert_name(objective),
            "expr": burn_expression(objective, burn),
            "for": burn.hold,
            "labels": {"severity": burn.severity, "long": burn.long, "short": burn.short, "class": "slo"},
            "annotations": {
                "summary": f"{{{{ $labels.region }}}}: the error budget of {objective.name} is used up too fast",
                "description": (
                    f"Promised: {objective.title}. Over the last {burn.long} and {burn.short} the budget was spent "
                    f"more than {burn.factor:g} times as fast as 30 days allow; bad events: "
                    "{{ $value | humanizePercentage }}."
                ),
                **_links(burn_alert_name(objective), "voicefleet-slo"),
            },
        }
        for objective in OBJECTIVES
        for burn in BURNS
    ]


def cause_alerts() -> list[dict[str, Any]]:
    """The alerts that name a cause."""
    return [rule for alert in ALERTS for rule in alert.rules(_links(alert.name, alert.dashboard))]


def _links(name: str, dashboard: str) -> dict[str, str]:
    return {"runbook_url": f"{RUNBOOKS}#{name.lower()}", "dashboard_url": f"/d/{dashboard}"}


def rule_file() -> Mapping[str, Any]:
    """The whole file, as Prometheus reads it."""
    return {
        "groups": [
            {"name": "voicefleet.slo.recordings", "rules": recordings()},
            {"name": "voicefleet.slo.alerts", "rules": burn_alerts()},
            {"name": "voicefleet.causes", "interval": CAUSES_EVERY, "rules": cause_alerts()},
        ]
    }
