"""`GET /v1/canaries`: the versions that are tried out, and how they do beside the stable ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from voicefleet.contract.answers import CanaryList
from voicefleet.contract.api import CanaryView, ComparisonView, ObjectiveView
from voicefleet.contract.call_events import iso_time
from voicefleet.contract.pools import PoolRole
from voicefleet.controller.canary.decide import Decision, Objective
from voicefleet.controller.canary.trial import TierView, TrialView
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
        views += [tier_view_of(p.tier_trial) for p in pools if p.tier_trial is not None]
        return json_answer(CanaryList(canaries=views))


def view_of(view: TrialView) -> CanaryView:
    """What is known of one canary."""
    trial = view.trial
    return CanaryView(
        **_of_both(view),
        calls=view.evidence.calls if view.evidence is not None else None,
        min_calls=trial.objectives.min_calls,
        duration_s=trial.objectives.duration_s,
        objectives=[_objective(one) for one in view.evidence.objectives] if view.evidence is not None else [],
    )


def _of_both(view: TrialView | TierView) -> dict[str, Any]:
    """The fields that a canary of versions and one of tiers have."""
    trial, record = view.trial, view.record
    return {
        "region": trial.region,
        "agent": trial.agent,
        "version": trial.version,
        "stable": trial.stable,
        "pool": trial.pool,
        "state": state_of(view),
        "weight": view.weight,
        "reason": view.verdict.reason if view.verdict is not None else "",
        "began_at": iso_time(record.began_ms) if record is not None else "",
        "decided_at": iso_time(record.decided_ms) if record is not None and record.decided_ms else "",
    }


def state_of(view: TrialView | TierView) -> str:
    """running, promoted or rolled_back; unknown: this replica has not read it yet."""
    if view.record is None:
        return "unknown"
    return "running" if view.decided is None else _STATES[view.decided]


def tier_view_of(view: TierView) -> CanaryView:
    """What is known of one canary of tiers."""
    trial, seen = view.trial, view.comparison
    return CanaryView(
        kind="tier",
        **_of_both(view),
        calls=seen.canary_total if seen is not None else None,
        comparison=None
        if seen is None
        else ComparisonView(
            judge=trial.rule.judge,
            canary_good=seen.canary_good,
            canary_total=seen.canary_total,
            stable_good=seen.stable_good,
            stable_total=seen.stable_total,
            difference=round(seen.difference, 4),
            low=seen.low,
            high=seen.high,
            error_ratio=seen.error,
        ),
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
