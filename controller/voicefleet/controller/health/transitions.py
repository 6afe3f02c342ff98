"""When a finding is worth a line in the log of incidents, and when it is over. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from voicefleet.contract.health import Finding, Health, HealthState

NOTED_AFTER_S = {HealthState.FAILING: 2.0, HealthState.UNKNOWN: 2.0, HealthState.DEGRADED: 15.0}
"""A finding is noted once it has lasted for so long: what heals by itself at once is no incident."""
OVER_AFTER_S = 5.0
"""A finding that comes back within this was not over."""


@dataclass(frozen=True, slots=True)
class Change:
    """A finding begins (`lasted_s` is None), got worse, or is over."""

    finding: Finding
    lasted_s: float | None = None


@dataclass(slots=True)
class _Open:
    finding: Finding
    since_s: float
    state_since_s: float
    seen_s: float
    noted: HealthState | None = None


class Transitions:
    """The findings of one region over time."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    def look(self, health: Health, now_s: float) -> list[Change]:
        """What is to be noted now, of which `health` tells."""
        changes = []
        for finding in health.findings:
            found = self._open.get(finding.id)
            if found is None:
                found = self._open[finding.id] = _Open(finding, now_s, now_s, now_s)
            if finding.state is not found.finding.state:
                found.state_since_s = now_s
            found.finding, found.seen_s = finding, now_s
            worse = found.noted is None or finding.state.rank > found.noted.rank
            if worse and now_s - found.state_since_s >= NOTED_AFTER_S[finding.state]:
                found.noted = finding.state
                changes.append(Change(finding))
        for name, found in list(self._open.items()):
            if now_s - found.seen_s >= OVER_AFTER_S:
                del self._open[name]
                if found.noted is not None:
                    changes.append(Change(found.finding, found.seen_s - found.since_s))
        return changes
