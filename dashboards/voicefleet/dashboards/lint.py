"""What a dashboard or a rule file must keep to. Findings in words; none is what we want."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from voicefleet.contract.metrics import metric_of, worker
from voicefleet.dashboards.alerting.alert import RUNBOOKS
from voicefleet.dashboards.alerting.rules import burn_alerts, cause_alerts, page_alerts
from voicefleet.dashboards.panels import COLUMNS
from voicefleet.dashboards.queries import Selected, grouping_labels, outer_labels, queries, selectors

TARGET_LABELS = frozenset({"cluster", "region", "instance", "job"})
"""What the scrape adds to every series; see `podMonitor` and `serviceMonitor` in the chart."""
LIVEKIT = frozenset(
    {
        "livekit_quality_score_sum",
        "livekit_quality_score_count",
        "livekit_pubsubtime_ms_bucket",
        "livekit_participant_total",
    }
)
"""Series of livekit-server that we ask for."""
_ONCE = frozenset({worker.WORKER_STARTUP})
"""A process counts these once in its life, usually before it is scraped: their rate would be nothing."""
_RUNBOOKS = frozenset(
    f"{RUNBOOKS}#{rule['alert'].lower()}" for rule in (*burn_alerts(), *cause_alerts(), *page_alerts())
)
_LABEL = re.compile(r"{{(\w+)}}")
_RATES = frozenset({"rate", "increase", "irate"})


def dashboard_findings(dashboard: Mapping[str, Any], uids: Sequence[str], recorded: frozenset[str]) -> Iterator[str]:
    """Everything that is wrong with one dashboard.

    Args:
        uids: of all dashboards there are.
        recorded: names of recording rules.
    """
    uid = dashboard["uid"]
    yield from (f"{uid}: {finding}" for finding in _frame(dashboard))
    yield from (f"{uid}: {finding}" for finding in _grid(dashboard["panels"]))
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            yield from (f"{uid} / {panel['title']}: {finding}" for finding in _panel(panel, uids))
    for asked in queries(dashboard):
        if asked.expr:
            yield from (f"{asked.where}: {finding}" for finding in expression_findings(asked.expr, recorded))


def _frame(dashboard: Mapping[str, Any]) -> Iterator[str]:
    if dashboard["editable"]:
        yield "editable: what is changed in Grafana is lost at the next upgrade"
    if dashboard.get("tags") != ["voicefleet"]:
        yield "has not the one tag that the menu of dashboards goes by"
    names = [variable["name"] for variable in dashboard["templating"]["list"]]
    if names[:3] != ["datasource", "cluster", "region"]:
        yield f"has the variables {names}, not datasource, cluster and region first"
    menu = dashboard["links"][0]
    if not (menu["asDropdown"] and menu["keepTime"] and menu["includeVars"] and menu.get("placement")):
        yield "its menu does not keep time and variables, or has no place"
    if not dashboard["annotations"]["list"]:
        yield "has no annotations"


def _grid(panels: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    ids = [panel["id"] for panel in panels]
    if len(set(ids)) != len(ids) or min(ids) < 1:
        yield "panel ids are missing or not unique"
    for panel in panels:
        at = panel["gridPos"]
        if at["x"] < 0 or at["x"] + at["w"] > COLUMNS:
            yield f"{panel['title']} runs over the edge of the grid"
    for one, other in combinations(panels, 2):
        a, b = one["gridPos"], other["gridPos"]
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        if not (beside or above):
            yield f"{one['title']} lies over {other['title']}"


def _panel(panel: Mapping[str, Any], uids: Sequence[str]) -> Iterator[str]:
    if not panel.get("description", "").endswith("."):
        yield "no description"
    if not panel["fieldConfig"]["defaults"].get("unit"):
        yield "no unit"
    sources = [panel.get("datasource"), *(target.get("datasource") for target in panel["targets"])]
    if any(source is None or source["uid"] != "${datasource}" for source in sources):
        yield "not on the chosen data source"
    if not panel["targets"]:
        yield "asks for nothing"
    for link in panel.get("links", ()):
        target = link["url"].removeprefix("/d/").partition("?")[0]
        if target not in uids and target not in _RUNBOOKS:
            yield f"leads to {target}, which is not there"
    if not panel.get("links") and "What to do: " not in panel.get("description", ""):
        yield "leads nowhere, and does not say what to do"
    yield from _legends(panel["targets"])


def _legends(targets: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Names of series that do not tell them apart."""
    names = [target["legendFormat"] for target in targets]
    if len(set(names)) != len(names):
        yield f"gives two queries one legend: {names}"
    for target in targets:
        if missing := _series_labels(target["expr"]) - set(_LABEL.findall(target["legendFormat"])):
            yield f"has series that differ in {sorted(missing)}, which their legend does not tell"


def _series_labels(expr: str) -> set[str]:
    """The labels that the series of `expr` have: those of its outermost grouping."""
    try:
        return outer_labels(expr)
    except ValueError:
        return set()  # no PromQL, which is another finding


def expression_findings(expr: str, recorded: frozenset[str]) -> Iterator[str]:
    """Everything that is wrong with one query."""
    try:
        found = list(selectors(expr))
        grouped = grouping_labels(expr)
    except ValueError as error:
        yield f"no PromQL: {error}"
        return
    exported = TARGET_LABELS
    for selected in found:
        labels = _labels_of(selected.name, recorded)
        if labels is None:
            yield f"asks for {selected.name}, which nobody exports"
            continue
        exported |= labels
        if strange := selected.labels - labels:
            yield f"matches {sorted(strange)} of {selected.name}, which has not got that"
        yield from _rate_findings(selected)
    if foreign := grouped - exported:
        yield f"groups by {sorted(foreign)}, which no series in it has"


def _labels_of(name: str, recorded: frozenset[str]) -> frozenset[str] | None:
    if name in recorded:
        return TARGET_LABELS | ({"page"} if name.startswith("region_page:") else {"slo"})
    if name == "ALERTS":
        return TARGET_LABELS | {"alertname", "alertstate", "severity"}
    if name in LIVEKIT:
        return TARGET_LABELS | {"node_id", "node_type", "direction", "le"}
    if name == "up":
        return TARGET_LABELS
    metric = metric_of(name)
    if metric is None:
        return None
    return TARGET_LABELS | set(metric.labels) | ({"le"} if name.endswith("_bucket") else set())


def _rate_findings(selected: Selected) -> Iterator[str]:
    metric, rated = metric_of(selected.name), bool(_RATES & set(selected.inside))
    if metric is None:
        return
    if metric.kind == "gauge" and rated:
        yield f"takes a rate of {selected.name}, a gauge"
    looked_up = "absent" in selected.inside or (not selected.inside and not selected.labels)
    if metric.kind != "gauge" and metric not in _ONCE and not rated and not looked_up:
        yield f"shows {selected.name} as it is, a counter that grows for ever"
