"""The dashboards: fleet -> region -> worker -> trace, and call quality, scaling decisions, objectives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from voicefleet.dashboards.pages import call_quality, fleet, objectives, region, scaling, worker_pods
from voicefleet.dashboards.panels import COLUMNS, SOURCE, Panel, build

TAG = "voicefleet"


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard. `rows` are titles with their panels; `variables` come on top of the common ones."""

    uid: str
    title: str
    description: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    variables: tuple[tuple[str, str, str], ...] = ()
    """Name, label and query."""

    @property
    def panels(self) -> tuple[Panel, ...]:
        return tuple(panel for _, panels in self.rows for panel in panels)


BOARDS = (
    Board("voicefleet-fleet", "voicefleet / Fleet", "All regions at one look.", fleet.ROWS),
    Board("voicefleet-region", "voicefleet / Region", "One region: callers, slots, workers.", region.ROWS),
    Board(
        "voicefleet-worker",
        "voicefleet / Worker",
        "Single workers: calls, starts, drains, what they lost.",
        worker_pods.ROWS,
        (("worker", "worker", 'label_values(voicefleet_worker_info{cluster=~"$cluster",region=~"$region"}, worker)'),),
    ),
    Board(
        "voicefleet-call-quality",
        "voicefleet / Call quality",
        "TTFA by stage, interruptions, silence, and the line.",
        call_quality.ROWS,
    ),
    Board(
        "voicefleet-scaling",
        "voicefleet / Scaling decisions",
        "Why did it scale? Signals, decisions, bounds.",
        scaling.ROWS,
    ),
    Board("voicefleet-slo", "voicefleet / Objectives", "Budgets and how fast they burn.", objectives.ROWS),
)

VARIABLES = (
    ("cluster", "cluster", "label_values(voicefleet_calls_waiting, cluster)"),
    ("region", "region", 'label_values(voicefleet_calls_waiting{cluster=~"$cluster"}, region)'),
)

ANNOTATIONS = (
    (
        "Scaling",
        "blue",
        'changes(voicefleet_scaler_desired_workers{cluster=~"$cluster",region=~"$region"}[1m]) > 0',
        "{{region}}: another number of workers is wanted",
    ),
    (
        "Workers",
        "purple",
        'changes(voicefleet_workers{cluster=~"$cluster",region=~"$region",state="ready"}[1m]) > 0',
        "{{region}}: workers came or went (scaling, a rollout, or a crash)",
    ),
)


def as_json(board: Board) -> str:
    """The file's text."""
    return json.dumps(content(board), indent=2, sort_keys=True) + "\n"


def content(board: Board) -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    builder = (
        builders.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([TAG])
        .readonly()
        .refresh("30s")
        .time("now-1h", "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(builders.DatasourceVariable("datasource").label("data source").type("prometheus"))
        .link(
            builders.DashboardLink("voicefleet")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .keep_time(True)
            .include_vars(True)
        )
    )
    for name, label, query in (*VARIABLES, *board.variables):
        builder.with_variable(_variable(name, label, query))
    for name, color, expr, text in ANNOTATIONS:
        builder.annotation(
            builders.AnnotationQuery()
            .name(name)
            .datasource(SOURCE)
            .enable(True)
            .icon_color(color)
            .expr(expr)
            .title_format(text)
        )
    raw: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(builder.build()))
    raw["panels"] = _placed(board)
    for link in raw["links"]:
        link.setdefault("placement", "inControlsMenu")
    return raw


def _variable(name: str, label: str, query: str) -> Any:
    return (
        builders.QueryVariable(name)
        .label(label)
        .query(query)
        .definition(query)
        .datasource(SOURCE)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        # A label that is not there is empty, and must match too.
        .all_value(".*")
        .current(models.VariableOption(text="All", value="$__all", selected=True))
    )


def _placed(board: Board) -> list[dict[str, Any]]:
    """Panels with ids and places: the SDK leaves out the ids, and lets a row of panels run over the grid's edge."""
    placed: list[dict[str, Any]] = []
    y = 0
    for title, panels in board.rows:
        row = {"type": "row", "title": title, "collapsed": False, "panels": []}
        placed.append({**row, "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}})
        y += 1
        x = tallest = 0
        for panel in panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            made = json.loads(JSONEncoder(sort_keys=True).encode(build(panel)))
            made["gridPos"] = {"x": x, "y": y, "w": panel.width, "h": panel.height}
            placed.append(made)
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return [{**panel, "id": number} for number, panel in enumerate(placed, 1)]
