"""`GET /v1/canaries`: the versions that are tried out, and how they do beside the stable ones."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from voicefleet.contract.answers import CanaryList
from voicefleet.contract.api import CanaryView, ObjectiveView
from voicefleet.contract.call_events import iso_time
from voicefleet.contract.pools import PoolRole
from voicefleet.controller.canary.decide import Decision, Objective
from voicefleet.controller.canary.trial import TrialView
from voicefleet.controller.http.auth.access import key_of, seen
from voicefleet.controller.http.reads import json_answer
from voicefleet.controller.regions.region import Region

_STATES = {Decision.PROMOTE: "promoted", Decision.ROLL_BACK: "rolled_back"}


class Canaries:
    """The route."""

    def __init__(self, regions: Mapping[str, Region]) -> None:
        self._regions = regions

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/v1/canaries", self.list_all)

    async def list_all(self, request: web.Request) -> web.Response:
        """Those of the key's regions."""
        pools = seen(self._regions, key_of(request)).values()
        views = [view_of(p.trial) for p in pools if p.trial is not None and p.settings.role is PoolRole.CANARY]
        return json_answer(CanaryList(canaries=views))


def view_of(view: TrialView) -> CanaryView:
    """What is known of one canary."""
    trial, record = view.trial, view.record
    state = "running" if view.decided is None else _STATES[view.decided]
    return CanaryView(
        region=trial.region,
        agent=trial.agent,
        version=trial.version,
        stable=trial.stable,
        pool=trial.pool,
        state=state if record is not None else "unknown",
        weight=view.weight,
        reason=view.verdict.reason if view.verdict is not None else "",
        began_at=iso_time(record.began_ms) if record is not None else "",
        decided_at=iso_time(record.decided_ms) if record is not None and record.decided_ms else "",
        calls=view.evidence.calls if view.evidence is not None else None,
        min_calls=trial.objectives.min_calls,
        duration_s=trial.objectives.duration_s,
        objectives=[_objective(one) for one in view.evidence.objectives] if view.evidence is not None else [],
    )


def _objective(one: Objective) -> ObjectiveView:
    return ObjectiveView(
        name=one.name,
        most_ratio=one.most_ratio,
        canary_bad=one.canary.bad,
        canary_total=one.canary.total,
        stable_bad=one.stable.bad,
        stable_total=one.stable.total,
    )
