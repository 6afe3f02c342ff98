"""Looks at a region's health every second, and notes what changes in its log of incidents."""

from __future__ import annotations

from voicefleet.contract.health import HealthState
from voicefleet.contract.incidents import IncidentKind
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.controller.health.observe import region_health
from voicefleet.controller.health.transitions import Transitions
from voicefleet.controller.leader.leadership import Leadership
from voicefleet.controller.regions.cost import Cost, cost_of
from voicefleet.controller.regions.region import Region

LOOK_EVERY_S = 1.0
_LONGEST_OVER = 120
"""Of what is over; it stands whole where it began."""


class HealthWatch:
    """Watches one region."""

    def __init__(self, region: Region, leadership: Leadership) -> None:
        self._region = region
        self._leadership = leadership
        self._transitions = Transitions()
        self._cost: Cost | None = None
        self._server = ""
        """Which life of Redis was seen last; empty: none, or it does not tell."""

    async def run(self) -> None:
        """Look until cancelled."""
        replica = self._region.replica
        self._region.incidents.note(
            IncidentKind.CONTROLLER_STARTED, f"controller {replica} started", subject=replica, state=HealthState.OK
        )
        while True:
            self.look()
            await self._region.clock.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """One look."""
        region = self._region
        now_s = region.clock.monotonic()
        self._add_turns(now_s)
        self._show_cost()
        for change in self._transitions.look(region_health(region, election=self._leadership.trouble), now_s):
            finding = change.finding
            if change.lasted_s is None:
                region.incidents.note(IncidentKind.FINDING, finding.cause, subject=finding.id, state=finding.state)
            else:
                cause = finding.cause if len(finding.cause) <= _LONGEST_OVER else finding.cause[:_LONGEST_OVER] + "…"
                text = f"over after {span(change.lasted_s)}: {cause}"
                region.incidents.note(
                    IncidentKind.OVER, text, subject=finding.id, state=HealthState.OK, lasted_s=change.lasted_s
                )
        self._note_redis()
        for lost in region.lost_workers.settled(region.fresh_snapshot(), now_s):
            state = HealthState.FAILING if lost.waiting else HealthState.DEGRADED
            region.incidents.note(IncidentKind.WORKER_LOST, lost.text, subject=lost.worker, state=state)

    def _note_redis(self) -> None:
        snapshot = self._region.scans.snapshot
        before, self._server = self._server, snapshot.server if snapshot else ""
        if before and self._server and self._server != before:
            text = "Redis restarted, or a replica took over; jobs renew their claims, and a restart may have lost data"
            self._region.incidents.note(IncidentKind.REDIS_RESTARTED, text, subject="redis")

    def _show_cost(self) -> None:
        gauge, name, cost = self._region.metrics.gauges[catalogue.POOL_COST], self._region.name, cost_of(self._region)
        if cost is not None:
            gauge.labels(name, cost.currency).set(cost.per_hour)
        elif self._cost is not None:
            gauge.remove(name, self._cost.currency)
        self._cost = cost

    def _add_turns(self, now_s: float) -> None:
        region = self._region
        reports = region.reports.fresh()
        if reports is None:
            return
        told = {
            name: {
                **{f"turn:{outcome}": n for outcome, n in (r.report.turns or {}).items()},
                **{f"fail:{what}": n for what, n in (r.report.provider_failures or {}).items()},
            }
            for name, r in reports.items()
            if r.report.turns is not None
        }
        region.turns.add(now_s, told)


def span(seconds: float) -> str:
    """A duration in words of its size: 40 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
