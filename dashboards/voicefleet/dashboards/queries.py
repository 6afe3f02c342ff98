"""The queries of a dashboard file, with Grafana's variables filled in, and the names and labels they ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import promql_parser

_LABEL_VALUES = re.compile(r"^label_values\((?:(?P<series>.*),\s*)?(?P<label>\w+)\)$")


@dataclass(frozen=True, slots=True)
class Asked:
    """One query. `where`: dashboard / panel / number."""

    where: str
    kind: str
    """panel, variable or annotation."""
    expr: str
    label: str = ""
    """For a variable: the label whose values are asked for; `expr` selects the series."""


def queries(dashboard: Mapping[str, Any]) -> Iterator[Asked]:
    """Every query of a dashboard, as it stands there."""
    title = dashboard["uid"]
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield Asked(f"{title} / {panel['title']} / {target['refId']}", "panel", target["expr"])
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found = _LABEL_VALUES.match(variable["query"])
            if found is None:
                raise ValueError(f"{title}: {variable['query']} is no label_values(...)")
            expr, label = found["series"] or "", found["label"]
            yield Asked(f"{title} / ${variable['name']}", "variable", expr, label)
    for annotation in dashboard["annotations"]["list"]:
        if annotation.get("expr"):
            yield Asked(f"{title} / @{annotation['name']}", "annotation", annotation["expr"])


def filled(expr: str, interval: str = "1m") -> str:
    """`expr` as Grafana would send it with every variable at All."""
    text = expr.replace("$__rate_interval", interval)
    return re.sub(r"\$\{?(cluster|region|worker)\}?", ".*", text)


@dataclass(frozen=True, slots=True)
class Selected:
    """One selector of a query: a series' name, the labels it matches, and the functions around it."""

    name: str
    labels: frozenset[str]
    inside: tuple[str, ...]


def selectors(expr: str) -> Iterator[Selected]:
    """Every selector in `expr`. Raises `ValueError`: it is no PromQL."""
    yield from _walk(promql_parser.parse(filled(expr)), ())


def grouping_labels(expr: str) -> set[str]:
    """The labels that `expr` groups by."""
    found: set[str] = set()
    _collect_grouping(promql_parser.parse(filled(expr)), found)
    return found


def outer_labels(expr: str) -> set[str]:
    """The labels by which the outermost groupings of `expr` tell its series apart, but for buckets, which a quantile or
    a heat map takes together. Raises `ValueError`: it is no PromQL."""
    return _outer(promql_parser.parse(filled(expr))) - {"le"}


def _outer(node: Any) -> set[str]:
    if isinstance(node, promql_parser.AggregateExpr):
        return set(node.modifier.labels) if node.modifier is not None else set()
    if isinstance(node, promql_parser.Call):
        return set().union(*(_outer(argument) for argument in node.args))
    if isinstance(node, promql_parser.BinaryExpr):
        return _outer(node.lhs)
    if isinstance(node, promql_parser.ParenExpr | promql_parser.UnaryExpr | promql_parser.SubqueryExpr):
        return _outer(node.expr)
    return set()


def _walk(node: Any, inside: tuple[str, ...]) -> Iterator[Selected]:
    if isinstance(node, promql_parser.VectorSelector):
        matchers = list(node.matchers.matchers)
        name = node.name or next((m.value for m in matchers if m.name == "__name__"), "")
        yield Selected(name, frozenset(m.name for m in matchers if m.name != "__name__"), inside)
    elif isinstance(node, promql_parser.MatrixSelector):
        yield from _walk(node.vector_selector, inside)
    elif isinstance(node, promql_parser.Call):
        for argument in node.args:
            yield from _walk(argument, (*inside, node.func.name))
    elif isinstance(node, promql_parser.AggregateExpr):
        yield from _walk(node.expr, (*inside, str(node.op)))
    elif isinstance(node, promql_parser.BinaryExpr):
        yield from _walk(node.lhs, inside)
        yield from _walk(node.rhs, inside)
    elif isinstance(node, promql_parser.ParenExpr | promql_parser.UnaryExpr | promql_parser.SubqueryExpr):
        yield from _walk(node.expr, inside)


def _collect_grouping(node: Any, found: set[str]) -> None:
    if isinstance(node, promql_parser.AggregateExpr):
        if node.modifier is not None:
            found.update(node.modifier.labels)
        _collect_grouping(node.expr, found)
    elif isinstance(node, promql_parser.Call):
        for argument in node.args:
            _collect_grouping(argument, found)
    elif isinstance(node, promql_parser.BinaryExpr):
        _collect_grouping(node.lhs, found)
        _collect_grouping(node.rhs, found)
    elif isinstance(node, promql_parser.ParenExpr | promql_parser.UnaryExpr | promql_parser.SubqueryExpr):
        _collect_grouping(node.expr, found)
