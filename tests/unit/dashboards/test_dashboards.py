"""The generated files: as committed, valid, and asking only for what is exported."""

from __future__ import annotations

import copy
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.models.dashboard import Dashboard
from rich.console import Console

from voicefleet.contract.metrics import CATALOGUE
from voicefleet.dashboards.alerting.rules import recordings, rule_file
from voicefleet.dashboards.alerting.slo import BURNS, OBJECTIVES
from voicefleet.dashboards.boards import BOARDS, content
from voicefleet.dashboards.command import generate
from voicefleet.dashboards.generate import ALERTMANAGER, RULES, RUNBOOK_PAGE, RUNBOOKS, chart_files, guides, page_files
from voicefleet.dashboards.lint import dashboard_findings, expression_findings
from voicefleet.dashboards.queries import queries, selectors
from voicefleet.dashboards.verify import EXEMPT

pytestmark = pytest.mark.unit

TREE = Path(__file__).resolve().parents[3]
UIDS = [board.uid for board in BOARDS]
RECORDED = frozenset(rule["record"] for rule in recordings())
RULE_LIST = [rule for group in rule_file()["groups"] for rule in group["rules"]]
ALERT_RULES = [rule for rule in RULE_LIST if "alert" in rule]


@pytest.mark.parametrize(
    ("folder", "files", "others"),
    [
        # `redis-acl.yaml` is made elsewhere: see tests/security/test_devstack.py. `worker-needs.yaml` is measured.
        ("helm/voicefleet/files", chart_files(), {"redis-acl.yaml", "worker-needs.yaml"}),
        ("dashboards", guides(), set()),
        ("controller/voicefleet/controller/http/page", page_files(), {"page.html", "page.css", "page.js", "call.js"}),
    ],
    ids=["chart", "guides", "page"],
)
def test_what_is_committed_is_what_the_code_makes(folder: str, files: dict[str, str], others: set[str]) -> None:
    for name, text in files.items():
        assert (TREE / folder / name).read_text() == text, f"{name}: run `make dashboards`"
    there = {str(p.relative_to(TREE / folder)) for p in (TREE / folder).rglob("*") if p.is_file()}
    assert {name for name in there if not name.endswith((".py", ".pyc"))} - {"README.md"} == set(files) | others


def test_generated_files_go_where_they_are_asked_for_and_a_stale_one_is_named(tmp_path: Path) -> None:
    told = Console(file=io.StringIO(), width=300)
    assert generate(tmp_path / "all", check=False, console=told) == 0
    assert generate(tmp_path / "all", check=True, console=told) == 0
    assert {path.name for path in (tmp_path / "all").iterdir()} == {"dashboards", RULES, ALERTMANAGER, RUNBOOKS}
    assert generate(tmp_path / "guides", tmp_path / "chart", check=False, console=told) == 0
    assert {path.name for path in (tmp_path / "chart").iterdir()} == {"dashboards", RULES}
    assert generate(tmp_path / "guides", page=tmp_path / "page", runbooks="https://c/runbooks", check=False) == 0
    assert [path.name for path in (tmp_path / "page").iterdir()] == [RUNBOOK_PAGE]
    links = re.findall(r"runbook_url: (\S+)#", (tmp_path / "guides" / RULES).read_text())
    assert set(links) == {"https://c/runbooks"}
    (tmp_path / "chart" / RULES).write_text("")
    assert generate(tmp_path / "guides", tmp_path / "chart", check=True, console=told) == 1
    assert f"{tmp_path / 'chart' / RULES} is not what the code makes" in told.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("board", BOARDS, ids=lambda b: b.uid)
def test_a_dashboard_has_no_findings(board: Any) -> None:
    assert list(dashboard_findings(content(board), UIDS, RECORDED)) == []


@pytest.mark.parametrize("board", BOARDS, ids=lambda b: b.uid)
def test_grafanas_own_model_knows_every_key(board: Any) -> None:
    made = content(board)
    assert Dashboard.from_json(copy.deepcopy(made)).uid == board.uid
    assert made["schemaVersion"] >= 41


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda d: d["panels"][1]["gridPos"].update(x=20, w=8), "edge of the grid"),
        (lambda d: d["panels"][2].update(gridPos=d["panels"][1]["gridPos"]), "lies over"),
        (lambda d: d["panels"][2].update(id=1), "ids"),
        (lambda d: d["panels"][1].update(description=""), "no description"),
        (lambda d: d["panels"][1]["fieldConfig"]["defaults"].pop("unit"), "no unit"),
        (lambda d: d["panels"][1]["targets"][0].update(expr="voicefleet_made_up"), "nobody exports"),
        (lambda d: d["panels"][1]["targets"][0].update(expr="rate(voicefleet_slots[5m])"), "a gauge"),
        (lambda d: d["panels"][1]["targets"][0].update(expr="sum(voicefleet_turns_total)"), "grows for ever"),
        (lambda d: d["panels"][1]["targets"][0].update(expr='voicefleet_slots{room="x"}'), "has not got"),
        (lambda d: d["panels"][1]["targets"][0].update(expr="sum by (room) (voicefleet_slots)"), "groups by"),
        (lambda d: d["panels"][1]["targets"][0].update(expr="sum("), "no PromQL"),
        (lambda d: d["panels"][1]["links"][0].update(url="/d/elsewhere"), "not there"),
        (lambda d: d["panels"][1].update(links=[]), "does not say what to do"),
        (lambda d: d["panels"][1]["targets"].append(d["panels"][1]["targets"][0]), "one legend"),
        (lambda d: d["panels"][1]["targets"][0].update(expr="sum by (region) (voicefleet_slots)"), "differ in"),
        (lambda d: d["panels"][1]["datasource"].update(uid="prom"), "data source"),
        (lambda d: d.update(editable=True), "editable"),
    ],
)
def test_the_linter_finds(change: Any, finding: str) -> None:
    made = copy.deepcopy(content(BOARDS[0]))
    change(made)
    assert any(finding in found for found in dashboard_findings(made, UIDS, RECORDED))


@pytest.mark.parametrize("rule", RULE_LIST, ids=lambda r: r.get("alert") or r.get("record"))
def test_a_rule_asks_only_for_what_is_exported(rule: dict[str, Any]) -> None:
    assert list(expression_findings(rule["expr"], RECORDED)) == []


def test_every_alert_has_words_a_dashboard_and_a_runbook() -> None:
    runbooks = guides()[RUNBOOKS]
    sections = {m.lower(): m for m in re.findall(r"^## (\w+)$", runbooks, re.M)}
    for rule in ALERT_RULES:
        notes = rule["annotations"]
        assert set(notes) == {"summary", "description", "runbook_url", "dashboard_url"}
        anchor = notes["runbook_url"].partition("#")[2]
        assert anchor in sections, rule["alert"]
        body = runbooks.partition(f"## {sections[anchor]}\n")[2].partition("\n## ")[0]
        for part in ("**Impact.**", "**Queries**", "**Actions**", "**Escalation.**"):
            assert part in body, (rule["alert"], part)
        assert notes["dashboard_url"].removeprefix("/d/") in UIDS
        assert rule["labels"]["severity"] in ("critical", "warning")
    assert {rule["alert"] for rule in ALERT_RULES} == set(sections.values()), "no runbook without its alert"


def test_the_page_of_the_runbooks_has_a_place_for_each_alert_and_leads_nowhere_else() -> None:
    page = page_files()[RUNBOOK_PAGE]
    places = set(re.findall(r'<h2 id="(\w+)">', page))
    assert places == {rule["annotations"]["runbook_url"].partition("#")[2] for rule in ALERT_RULES}
    assert set(re.findall(r'href="#(\w+)"', page)) == places
    assert re.findall(r"<a [^>]*><a|`|\*\*", page.partition("<h1>")[2]) == [], "Markdown that was not understood"


def test_runbooks_are_read_before_an_alert_fires() -> None:
    assert "{{" not in guides()[RUNBOOKS], "that is filled in when it does"


def test_queries_of_runbooks_ask_only_for_what_is_exported() -> None:
    asked = [
        line
        for block in re.findall(r"```promql\n(.*?)```", guides()[RUNBOOKS], re.S)
        for line in block.strip().splitlines()
    ]
    assert len(asked) > 30
    assert {expr: found for expr in asked if (found := list(expression_findings(expr, RECORDED)))} == {}


def test_every_threshold_can_be_reached() -> None:
    for objective in OBJECTIVES:
        for burn in BURNS:
            assert burn.factor * objective.budget < 1, (objective.name, burn.long)


def test_the_rules_are_yaml_and_the_alertmanager_knows_their_names() -> None:
    rules = yaml.safe_load(chart_files()[RULES])
    names = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    for named in re.findall(r"Voicefleet\w+", guides()[ALERTMANAGER]):
        assert named in names


def test_exemptions_name_queries_that_are_there() -> None:
    everything = {asked.where for board in BOARDS for asked in queries(content(board))}
    assert set(EXEMPT) <= everything


def test_no_metric_is_exported_for_nobody() -> None:
    """Every family of a worker or controller stands in a dashboard, an alert or a runbook."""
    exprs = [asked.expr for board in BOARDS for asked in queries(content(board)) if asked.expr]
    exprs += [rule["expr"] for rule in RULE_LIST]
    asked = {selected.name for expr in exprs for selected in selectors(expr)}
    unseen = {m.name for m in CATALOGUE if not asked & set(m.samples) and not m.name.startswith("voicefleet_caller")}
    assert unseen == set()


def test_files_are_json_of_stable_order() -> None:
    for name, text in chart_files().items():
        if name.endswith(".json"):
            assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
