"""Everything that is generated: file name -> text. What is committed must be what this gives.

Grafana's JSON and Prometheus' rules stand once in the tree, below the chart's `files/`, because Helm reads nothing
outside of the chart. The runbooks and the example for Alertmanager stand in `dashboards/`.
"""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from voicefleet.dashboards.alerting.inhibition import inhibition_file
from voicefleet.dashboards.alerting.rules import rule_file
from voicefleet.dashboards.alerting.runbooks import markdown
from voicefleet.dashboards.boards import BOARDS, as_json

RULES = "rules.yaml"
ALERTMANAGER = "alertmanager.yaml"
RUNBOOKS = "runbooks.md"
_HEAD = "# Made by `voicefleet dashboards generate`; do not change it here.\n"


def chart_files() -> dict[str, str]:
    """What the chart installs: path below its `files/` -> text."""
    return {**{f"dashboards/{board.uid}.json": as_json(board) for board in BOARDS}, RULES: _yaml(rule_file())}


def guides() -> dict[str, str]:
    """What people read or copy from: path below `dashboards/` -> text."""
    return {ALERTMANAGER: _yaml(inhibition_file()), RUNBOOKS: markdown()}


def _yaml(content: Mapping[str, object]) -> str:
    text: str = yaml.safe_dump(dict(content), sort_keys=False, width=110, allow_unicode=True)
    return _HEAD + text
