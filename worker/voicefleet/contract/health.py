"""How well a region is, and why: the one value behind `voicefleet status`, the page, the API and exit codes. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class HealthState(enum.StrEnum):
    """ok: callers get what they are promised. degraded: they do, with less in hand, or not all of them at once.
    unknown: it cannot be told now. failing: callers suffer."""

    OK = "ok"
    DEGRADED = "degraded"
    UNKNOWN = "unknown"
    FAILING = "failing"

    @property
    def rank(self) -> int:
        """0 for ok; the worse, the higher."""
        return _ORDER.index(self)


_ORDER = (HealthState.OK, HealthState.DEGRADED, HealthState.UNKNOWN, HealthState.FAILING)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    id: str
    """The same word as long as it is the same thing, such as `no_ready_workers`."""
    state: HealthState
    cause: str
    """What is wrong and why, in one line. No personal data."""
    hint: str
    """What to do about it, as an imperative sentence."""


@dataclass(frozen=True, slots=True)
class Health:
    """All that is wrong with one region, the worst first."""

    findings: tuple[Finding, ...] = ()

    @property
    def state(self) -> HealthState:
        """That of the worst finding; ok without one."""
        return self.findings[0].state if self.findings else HealthState.OK

    @property
    def text(self) -> str:
        """The causes of all findings, in one line; empty when all is well."""
        return "; ".join(finding.cause for finding in self.findings)


def health_of(findings: Iterable[Finding]) -> Health:
    """The health with these findings; of equally bad ones the earlier stays first."""
    return Health(tuple(sorted(findings, key=lambda finding: -finding.state.rank)))


def worst(states: Iterable[str]) -> HealthState:
    """The worst of `states`, words of `HealthState`; ok when there is none."""
    return max((HealthState(state) for state in states), key=lambda state: state.rank, default=HealthState.OK)
