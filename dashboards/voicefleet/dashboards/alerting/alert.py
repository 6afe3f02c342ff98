"""What an alert is: its rules, and the runbook that it leads to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from voicefleet.contract.metrics import controller

RUNBOOKS = "dashboards/runbooks.md"
"""Stands for where runbooks are found: the chart puts in an address, see its `prometheusRule.runbookUrl`."""


def down(*dependencies: str) -> str:
    """Regions that one of `dependencies` does not answer, as every controller there is sees it."""
    up = f'{controller.DEPENDENCY_UP.name}{{dependency=~"{"|".join(dependencies)}"}}'
    return f"max by (cluster, region, dependency) ({up}) == 0"


class Also(NamedTuple):
    """A second rule of an alert: the same trouble, more or less urgent."""

    severity: str
    hold: str
    expr: str


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert and its runbook. `queries` are what to look at first; `actions` what to do, in this order.

    Attributes:
        hold: how long `expr` must hold before it fires.
        caused_by: dependencies whose absence has this effect: while one of them is away, this alert adds nothing, and
            does not fire. VoicefleetDependencyDown does.
        caused_in: the labels by which that is so.
        also: more rules of the same name.
    """

    name: str
    severity: str
    hold: str
    expr: str
    summary: str
    description: str
    dashboard: str
    impact: str
    queries: tuple[str, ...]
    actions: tuple[str, ...]
    escalation: str = "The team that runs the fleet, when the actions did not help within 15 minutes."
    caused_by: tuple[str, ...] = ()
    caused_in: str = "cluster, region"
    also: tuple[Also, ...] = ()

    def rules(self, links: Mapping[str, str]) -> list[dict[str, Any]]:
        """Its rules, as Prometheus reads them. `links`: annotations that lead on."""
        return [
            {
                "alert": self.name,
                "expr": self._gated(expr),
                "for": hold,
                "labels": {"severity": severity, "class": "cause"},
                "annotations": {"summary": self.summary, "description": self.description, **links},
            }
            for severity, hold, expr in (Also(self.severity, self.hold, self.expr), *self.also)
        ]

    def _gated(self, expr: str) -> str:
        if not self.caused_by:
            return expr
        return f"({expr}) unless on ({self.caused_in}) ({down(*self.caused_by)})"
