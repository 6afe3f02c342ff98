"""What the API shows of a region and of a worker, made from what the controller knows of them."""

from __future__ import annotations

from voicefleet.contract.api import RegionView, WorkerStatus, WorkerView
from voicefleet.controller.regions.region import Region
from voicefleet.scaling import SupplyState

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


def region_view(region: Region) -> RegionView:
    """What is known of a region; counts are None when they are not known now."""
    spec, observation, snapshot = region.spec, region.pool.observation, region.fresh_snapshot()
    reports = region.reports.fresh()
    known = observation is not None and reports is not None and region.fresh_instances()
    instances = {instance.id: instance for instance in region.instances.last}
    workers = observation.workers if observation is not None else ()

    def count(state: SupplyState) -> int | None:
        return sum(w.state is state for w in workers) if known else None

    draining, stopping = count(SupplyState.DRAINING), count(SupplyState.STOPPING)
    views: list[WorkerView] = []
    for worker in workers[:WORKERS_LISTED]:
        reported, instance = (reports or {}).get(worker.id), instances.get(worker.id)
        views.append(
            WorkerView(
                id=worker.id,
                state=worker.state.value,
                slots=worker.slots,
                live=worker.busy,
                age_s=round(worker.age_s, 1),
                pid=reported.report.pid if reported else 0,
                instance=instance.state.value if instance else "",
                detail=instance.detail if instance else "",
            )
        )
    reason = region.reason
    calls_known = snapshot is not None and known
    return RegionView(
        region=region.name,
        status="ok" if calls_known else "unknown",
        reason=reason or ("" if calls_known else "not read yet"),
        min_workers=spec.min_workers,
        max_workers=spec.max_workers,
        slots_per_worker=spec.slots,
        desired_workers=region.pool.decision.desired if region.pool.decision else None,
        starting=count(SupplyState.STARTING),
        ready=count(SupplyState.READY),
        draining=None if draining is None or stopping is None else draining + stopping,
        slots=sum(w.slots for w in workers if w.state is SupplyState.READY and not w.cordoned) if known else None,
        live=snapshot.live if snapshot is not None else None,
        waiting=snapshot.waiting if snapshot is not None else None,
        set_aside=snapshot.set_aside if snapshot is not None else None,
        silent=region.reports.silent,
        workers=views,
        more_workers=len(workers) - len(views),
    )
