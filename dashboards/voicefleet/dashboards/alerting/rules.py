"""Prometheus rules: recordings of the objectives, their burn-rate alerts, and the alerts of causes.

The long windows are sums of the five-minute rates: weighted by traffic, and cheap for 30 days.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voicefleet.dashboards.alerting.alert import RUNBOOKS
from voicefleet.dashboards.alerting.alerts import ALERTS
from voicefleet.dashboards.alerting.pages import HALF_HOLD, HALF_RATIO, PAGES, RATIO_2M, TWENTIETH_HOLD, Page
from voicefleet.dashboards.alerting.slo import (
    BURNS,
    LEAST_BAD,
    LEAST_EVENTS,
    MANY_BAD,
    OBJECTIVES,
    WINDOWS,
    Burn,
    Objective,
)

SOON = "10s"
"""How often what pages is looked at, whatever Prometheus does by default.

Half a minute from a fault to its page: 3 s for the controller, then a scrape, then this."""
TOTAL = "region_slo:voicefleet_events:rate5m"
BAD = "region_slo:voicefleet_bad_events:rate5m"
BAD_NOW = "region_slo:voicefleet_bad_events:rate1m"
EVALUATED_EVERY_S = 15
"""The objectives are recorded so often, whatever else is: events are counted by it."""
BUDGET = "region_slo:voicefleet_error_budget:ratio"


def ratio(window: str) -> str:
    """The name of the share of bad events over `window`."""
    return f"region_slo:voicefleet_bad:ratio_rate{window}"


def burn_alert_name(objective: Objective) -> str:
    """``VoicefleetTtfa800msBudgetBurn``."""
    return f"Voicefleet{''.join(part.capitalize() for part in objective.name.split('_'))}BudgetBurn"


def recordings() -> list[dict[str, Any]]:
    """All recording rules."""
    return [*_of_objectives(), *_of_pages()]


def _of_pages() -> list[dict[str, Any]]:
    return [rule for page in PAGES for rule in page.recordings()]


def _of_objectives() -> list[dict[str, Any]]:
    """In the order they build upon each other."""
    found: list[dict[str, Any]] = []
    for objective in OBJECTIVES:
        slo = {"slo": objective.name}
        found += [
            {"record": TOTAL, "expr": objective.total("5m"), "labels": slo},
            {"record": BAD, "expr": objective.bad("5m"), "labels": slo},
            {"record": BAD_NOW, "expr": objective.bad("1m"), "labels": slo},
            {"record": BUDGET, "expr": f"vector({objective.budget:g})", "labels": slo},
        ]
    for window in WINDOWS:
        bad, total = (f"sum_over_time({name}[{window}])" for name in (BAD, TOTAL))
        found.append({"record": ratio(window), "expr": f"{bad} / ({total} > 0)"})
    return found


def count(series: str, window: str) -> str:
    """How many events there really were in `window`, of a recorded rate.

    Summed up, one evaluation after the other: an average over the window times its length would make hundreds of the
    first few events of a fleet that has just begun. An evaluation that is missing counts as none.
    """
    return f"sum_over_time({series}[{window}]) * {EVALUATED_EVERY_S}"


def burn_expression(objective: Objective, burn: Burn) -> str:
    """Both windows burn the budget `factor` times too fast, there were events enough to say so, and it is not over."""
    assert burn.factor * objective.budget < 1, f"{objective.name} {burn.long}: a ratio is never above 1"
    slo = f'{{slo="{objective.name}"}}'
    # The budget as it is recorded: whoever promises another share changes one rule.
    limit = f"on (slo) group_left () ({burn.factor:g} * {BUDGET}{slo})"
    over = ""
    if burn.severity == "critical":
        if page := _PAGED.get(objective.name):
            told = f'max_over_time({RATIO_2M}{{page="{page}"}}[{burn.short}]) >= {HALF_RATIO}'
            over = f" unless on (cluster, region) {told}"
        over += f" unless ({_QUIET[burn.short].format(slo=slo)} and {count(BAD + slo, burn.short)} >= {MANY_BAD})"
    return (
        f"{ratio(burn.long)}{slo} > {limit} and {ratio(burn.short)}{slo} > {limit}"
        f" and {count(TOTAL + slo, burn.long)} >= {LEAST_EVENTS} and {count(BAD + slo, burn.long)} >= {LEAST_BAD}{over}"
    )


_PAGED = {
    "ttfa_1500ms": "turns",
    "ttfa_800ms": "turns",
    "answer": "turns",
    "response": "turns",
    "greeting": "turns",
    "admission": "calls",
}
"""Objective -> the page that has told already, when it fired within the short window."""
_QUIET = {"5m": f"{BAD_NOW}{{slo}} <= 0.3 * {BAD}{{slo}}", "30m": f"{BAD}{{slo}} == 0"}
"""By the short window: what holds once it is over, and hardly before where there are `MANY_BAD` events in it."""


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


def page_alerts() -> list[dict[str, Any]]:
    """Two alerts of one name for each page."""
    return [
        _page(page, window, hold) for page in PAGES for window, hold in (("2m", HALF_HOLD), ("10m", TWENTIETH_HOLD))
    ]


def _page(page: Page, window: str, hold: str) -> dict[str, Any]:
    (made,) = page.alert.rules(_links(page.alert.name, page.alert.dashboard))
    return {
        **made,
        "expr": page.expression(window),
        "for": hold,
        "labels": {**made["labels"], "class": "page", "window": window},
    }


def _links(name: str, dashboard: str) -> dict[str, str]:
    return {"runbook_url": f"{RUNBOOKS}#{name.lower()}", "dashboard_url": f"/d/{dashboard}"}


def rule_file() -> Mapping[str, Any]:
    """The whole file, as Prometheus reads it."""
    return {
        "groups": [
            {"name": "voicefleet.slo.recordings", "interval": f"{EVALUATED_EVERY_S}s", "rules": _of_objectives()},
            # One group: an alert sees what was recorded just before it.
            {"name": "voicefleet.pages", "interval": SOON, "rules": [*_of_pages(), *page_alerts()]},
            {"name": "voicefleet.slo.alerts", "rules": burn_alerts()},
            {"name": "voicefleet.causes", "interval": SOON, "rules": cause_alerts()},
        ]
    }
