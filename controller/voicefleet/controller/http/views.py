"""What the API shows of a region and of a worker, made from what the controller knows of them."""

from __future__ import annotations

from collections.abc import Sequence

from voicefleet.contract.api import FindingView, RegionTotal, RegionView, WorkerStatus, WorkerView
from voicefleet.contract.health import Health, HealthState, worst
from voicefleet.contract.pools import PoolRole
from voicefleet.controller.health.observe import region_health
from voicefleet.controller.health.workers import claims_by_worker, workers_known, workers_seen
from voicefleet.controller.regions.cost import cost_of
from voicefleet.controller.regions.refusals import KEPT_S, REFUSED
from voicefleet.controller.regions.region import Region
from voicefleet.scaling import SupplyState

_SUMMED = ("desired_workers", "ready", "slots", "live", "waiting", "silent", "refused")
WORKERS_LISTED = 200
"""Of one region in one answer."""


def worker_status(region: Region, worker: str) -> WorkerStatus:
    """What is known of a worker that reported."""
    reported, snapshot, observation = region.reports.last[worker], region.fresh_snapshot(), region.pool.observation
    seen = next((w for w in observation.workers if w.id == worker), None) if observation else None
    report = reported.report
    held = sum(c.claim is not None and c.claim.worker == worker for c in snapshot.calls) if snapshot else 0
    state = seen.state if seen else SupplyState(report.state) if reported.fresh else SupplyState.UNKNOWN
    return WorkerStatus(
        worker=worker,
        region=region.name,
        state=state.value,
        slots=report.slots,
        # A worker that hangs says nothing any more, its claims do.
        live=max(report.busy, held) if reported.prompt else held,
        leaving=state is SupplyState.STOPPING or bool(reported.order and reported.order.leave),
    )


def finding_views(health: Health) -> list[FindingView]:
    """What is wrong, the worst first."""
    return [FindingView(id=f.id, state=f.state, cause=f.cause, hint=f.hint) for f in health.findings]


def region_view(region: Region, *, election: str = "") -> RegionView:
    """What is known of a region; counts are None when they are not known now.

    Args:
        election: why no leader can be elected; empty when one can.
    """
    spec, observation, snapshot = region.spec, region.pool.observation, region.fresh_snapshot()
    health, known = region_health(region, election=election), workers_known(region)
    workers, held = workers_seen(region), claims_by_worker(region)
    pids = {instance.id: instance.pid for instance in region.instances.last}
    cordoned = {w.id for w in observation.workers if w.cordoned} if observation is not None else frozenset()
    slots = {w.id: w.slots for w in observation.workers} if observation is not None else {}

    def count(*states: SupplyState) -> int | None:
        return sum(w.state in states for w in workers) if known else None

    def pid(worker: str) -> int:
        # Redis may be away: its owner knows it too, and what was reported once holds as long as it is there.
        reported = region.reports.last.get(worker)
        return pids.get(worker) or (reported.report.pid if reported else 0)

    listed = [
        WorkerView(
            id=worker.id,
            state=worker.state.value,
            slots=slots.get(worker.id, spec.slots),
            live=worker.live,
            calls=worker.calls,
            age_s=round(worker.age_s, 1),
            pid=pid(worker.id),
            instance=worker.instance.value if worker.instance else "",
            detail=worker.detail,
        )
        for worker in workers[:WORKERS_LISTED]
    ]
    answers, serving = region.refusals.within(KEPT_S), [w for w in workers if w.state is SupplyState.READY]
    cost = cost_of(region)
    place = region.settings.place
    return RegionView(
        region=region.name,
        place=place.region,
        agent=place.agent,
        version=place.version,
        weight=weight_of(region),
        status=health.state.value,
        reason=health.text,
        findings=finding_views(health),
        min_workers=spec.min_workers,
        max_workers=spec.max_workers,
        slots_per_worker=spec.slots,
        desired_workers=region.pool.decision.desired if region.pool.decision else None,
        starting=count(SupplyState.STARTING),
        ready=count(SupplyState.READY),
        draining=count(SupplyState.DRAINING, SupplyState.STOPPING),
        slots=sum(slots[w.id] for w in serving if w.id not in cordoned) if known else None,
        live=snapshot.live if snapshot is not None else None,
        waiting=snapshot.waiting if snapshot is not None else None,
        set_aside=snapshot.set_aside if snapshot is not None else None,
        silent=region.reports.silent,
        moving=None if held is None else held.total() - sum(w.calls or 0 for w in workers),
        refused=sum(answers[result] for result in REFUSED),
        cost_per_hour=cost.per_hour if cost else None,
        currency=cost.currency if cost else "",
        workers=listed,
        more_workers=len(workers) - len(listed),
    )


def weight_of(region: Region) -> int | None:
    """The pool's share of its agent's new calls now, percent; None for a region without `agents`."""
    settings, trial = region.settings, region.trial
    if not settings.place.agent:
        return None
    if settings.role is PoolRole.LEAVING:
        return 0
    canary = trial.weight if trial is not None else 0
    return canary if settings.role is PoolRole.CANARY else 100 - canary


def totals(views: Sequence[RegionView]) -> list[RegionTotal]:
    """The sums of each region that has several pools."""
    found = []
    for place in dict.fromkeys(view.place for view in views):
        pools = [view for view in views if view.place == place]
        if len(pools) > 1:
            sums = {name: _sum([getattr(view, name) for view in pools]) for name in _SUMMED}
            state = worst(HealthState(view.status) for view in pools).value
            found.append(RegionTotal(region=place, status=state, pools=[view.region for view in pools], **sums))
    return found


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
