"""Everything that is generated: file name -> text. What is committed must be what this gives.

Grafana's JSON and Prometheus' rules stand once in the tree, below the chart's `files/`, because Helm reads nothing
outside of the chart. The runbooks and the example for Alertmanager stand in `dashboards/`, and the runbooks as a page
in the controller, which serves them.
"""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from voicefleet.dashboards.alerting.alert import RUNBOOKS as PLACE_OF_RUNBOOKS
from voicefleet.dashboards.alerting.inhibition import inhibition_file
from voicefleet.dashboards.alerting.rules import rule_file
from voicefleet.dashboards.alerting.runbook_page import page
from voicefleet.dashboards.alerting.runbooks import markdown
from voicefleet.dashboards.boards import BOARDS, as_json

RULES = "rules.yaml"
ALERTMANAGER = "alertmanager.yaml"
RUNBOOKS = "runbooks.md"
RUNBOOK_PAGE = "runbooks.html"
_HEAD = "# Made by `voicefleet dashboards generate`; do not change it here.\n"


def chart_files(runbooks: str = "") -> dict[str, str]:
    """What the chart installs: path below its `files/` -> text.

    Args:
        runbooks: where alerts lead to, ``https://CONTROLLER/runbooks``; empty: a name that the chart replaces.
    """
    files = {**{f"dashboards/{board.uid}.json": as_json(board) for board in BOARDS}, RULES: _yaml(rule_file())}
    return {name: text.replace(PLACE_OF_RUNBOOKS, runbooks or PLACE_OF_RUNBOOKS) for name, text in files.items()}


def page_files() -> dict[str, str]:
    """What the controller serves: name -> text."""
    return {RUNBOOK_PAGE: page()}


def guides() -> dict[str, str]:
    """What people read or copy from: path below `dashboards/` -> text."""
    return {ALERTMANAGER: _yaml(inhibition_file()), RUNBOOKS: markdown()}


def _yaml(content: Mapping[str, object]) -> str:
    text: str = yaml.safe_dump(dict(content), sort_keys=False, width=110, allow_unicode=True)
    return _HEAD + text
