"""Panels in this fleet's style: each with a unit, a description and the chosen data source.

A query that stands in `$cluster` and `$region` is written with `SELECT` in place of its label matchers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from grafana_foundation_sdk.builders import common, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models import prometheus as prometheus_models

from voicefleet.dashboards.alerting.alert import RUNBOOKS

SELECT = 'cluster=~"$cluster",region=~"$region"'
BY = "by (cluster, region)"
WORKER = "on (cluster, region, instance) group_left (worker) voicefleet_worker_info"
"""Joined to a worker's series with `*`: it brings the name that `voicefleet drain` takes."""
SOURCE = common_models.DataSourceRef(type_val="prometheus", uid="${datasource}")
COLUMNS = 24

Look = Literal["lines", "stacked", "number", "heat"]


@dataclass(frozen=True, slots=True)
class Query:
    """One query and the name of its series. `exemplar`: the points carry trace ids."""

    expr: str
    legend: str = ""
    exemplar: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `unit` is Grafana's id; `red_above` colours what is too much.

    Each says what to do: it leads `to` a dashboard, to the runbook of an `alert`, or its description ends with `act`.
    """

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    look: Look = "lines"
    width: int = 8
    height: int = 8
    red_above: float | None = None
    red_below: float | None = None
    most: float | None = None
    to: str = ""
    alert: str = ""
    act: str = ""


def panel(title: str, description: str, unit: str, *queries: Query | str, **more: Any) -> Panel:
    """A panel; a plain text is a query whose series is named by its labels."""
    made = tuple(query if isinstance(query, Query) else Query(query) for query in queries)
    return Panel(title, description, unit, made, **more)


def quantiles(
    metric: str, by: str = "region", more: str = "", qs: Sequence[float] = (0.5, 0.95), name: str = ""
) -> tuple[Query, ...]:
    """Quantiles of a histogram, a series for each value of the labels `by`; `name` stands before them in the legend."""
    labels = ", ".join(["cluster", *([] if by == "cluster" else [by]), "le"])
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    matchers = f"{SELECT},{more}" if more else SELECT
    return tuple(
        Query(
            f"histogram_quantile({q:g}, sum by ({labels}) (rate({metric}_bucket{{{matchers}}}[$__rate_interval])))",
            f"{name} {legend} p{q * 100:g}".strip(),
        )
        for q in qs
    )


def mean(metric: str, by: str = "region", more: str = "") -> Query:
    """The mean of a histogram, a series for each value of the labels `by`."""
    matchers = f"{SELECT},{more}" if more else SELECT
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    parts = [
        f"sum by (cluster, {by}) (rate({metric}_{end}{{{matchers}}}[$__rate_interval]))" for end in ("sum", "count")
    ]
    return Query(f"{parts[0]} / {parts[1]}", legend)


def per_second(counter: str, by: str = "region", more: str = "") -> Query:
    """The rate of a counter, a series for each value of the labels `by`."""
    matchers = f"{SELECT},{more}" if more else SELECT
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return Query(f"sum by (cluster, {by}) (rate({counter}{{{matchers}}}[$__rate_interval]))", legend)


def counted(counter: str, by: str = "region", more: str = "", legend: str = "") -> Query:
    """How often something rare happened in the 5 minutes before, a series for each value of the labels `by`; `legend`
    stands after them."""
    matchers = f"{SELECT},{more}" if more else SELECT
    labels = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return Query(f"sum by (cluster, {by}) (round(increase({counter}{{{matchers}}}[5m])))", f"{labels} {legend}".strip())


def now(expr: str, legend: str = "{{region}}") -> Query:
    """A gauge as it is."""
    return Query(expr, legend)


def build(panel_: Panel) -> Any:
    """The Grafana panel, without its place."""
    builder = _BUILDERS[panel_.look]()
    builder.title(panel_.title).description(_described(panel_)).datasource(SOURCE).unit(panel_.unit)
    for number, query in enumerate(panel_.queries):
        target = prometheus.Dataquery().expr(query.expr).ref_id(chr(ord("A") + number)).datasource(SOURCE)
        target = target.legend_format(_legend(query)).range()
        if panel_.look == "heat":
            target = target.format(prometheus_models.PromQueryFormat.HEATMAP).legend_format("{{le}}")
        builder.with_target(target.exemplar(query.exemplar))
    if panel_.look != "heat":
        builder.min(0)
        if panel_.most is not None:
            builder.max(panel_.most)
        builder.thresholds(_thresholds(panel_))
    links = [_link(panel_.to)] if panel_.to else []
    if panel_.alert:
        links.append(_runbook(panel_.alert))
    if links:
        builder.links(links)
    return builder.build()


def _legend(query: Query) -> str:
    """With the cluster, where the series have one: two clusters may name their regions alike."""
    apart = "(cluster," in query.expr and "{{cluster}}" not in query.legend
    return f"{query.legend} {{{{cluster}}}}" if apart and query.legend else query.legend or "__auto"


def _lines() -> Any:
    return (
        timeseries.Panel()
        .fill_opacity(8)
        .line_width(1)
        .show_points(common_models.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
    )


def _stacked() -> Any:
    return _lines().fill_opacity(40).stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))


def _number() -> Any:
    reduce = common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)
    return stat.Panel().reduce_options(reduce).graph_mode(common_models.BigValueGraphMode.AREA)


def _heat() -> Any:
    return (
        heatmap.Panel()
        .calculate(False)
        .exemplars_color("rgba(255,0,255,0.7)")
        .color(heatmap.HeatmapColorOptions().mode(heatmap_models.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
        .y_axis(heatmap.YAxisConfig().unit("s"))
        .show_legend()
    )


_BUILDERS = {"lines": _lines, "stacked": _stacked, "number": _number, "heat": _heat}


def _thresholds(panel_: Panel) -> Any:
    good, bad = "green", "red"
    if panel_.red_below is not None:
        steps = [models.Threshold(value=None, color=bad), models.Threshold(value=panel_.red_below, color=good)]
    else:
        steps = [models.Threshold(value=None, color=good)]
        if panel_.red_above is not None:
            steps.append(models.Threshold(value=panel_.red_above, color=bad))
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _described(panel_: Panel) -> str:
    return f"{panel_.description} What to do: {panel_.act}" if panel_.act else panel_.description


def _runbook(alert: str) -> Any:
    return (
        builders.DashboardLink(f"What to do: {alert}")
        .type(models.DashboardLinkType.LINK)
        .url(f"{RUNBOOKS}#{alert.lower()}")
        .target_blank(True)
    )


def _link(uid: str) -> Any:
    return (
        builders.DashboardLink(f"Open {uid}")
        .type(models.DashboardLinkType.LINK)
        .url(f"/d/{uid}?${{__url_time_range}}&${{__all_variables}}")
        .keep_time(True)
        .include_vars(True)
    )
