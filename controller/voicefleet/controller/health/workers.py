"""The workers of a region as a person should see them: what their reports of the last seconds and their claims tell."""

from __future__ import annotations

from collections import Counter

from voicefleet.controller.health.observation import WorkerSeen
from voicefleet.controller.pool.worker_store import PROMPT_S
from voicefleet.controller.regions.region import Region
from voicefleet.scaling import SupplyState, Worker


def workers_seen(region: Region) -> tuple[WorkerSeen, ...]:
    """Every worker of the pool as it was observed last. One that does not report for `PROMPT_S` is unknown, and not
    ready: it may stand still, though scaling waits longer before it counts on that."""
    observation = region.pool.observation
    if observation is None:
        return ()
    held = claims_by_worker(region)
    instances = {instance.id: instance for instance in region.instances.last}
    ended = region.pool.departed(region.clock.monotonic())
    found = []
    for worker in observation.workers:
        if worker.id in ended:
            continue
        instance = instances.get(worker.id)
        silent_s = _silent_s(region, worker)
        found.append(
            WorkerSeen(
                id=worker.id,
                state=SupplyState.UNKNOWN if _stands_still(worker, silent_s) else worker.state,
                age_s=worker.age_s,
                silent_s=silent_s,
                live=worker.busy if held is None else held[worker.id],
                instance=instance.state if instance else None,
                detail=instance.detail if instance else "",
            )
        )
    # Asked for and not there, because it failed to start.
    missing = [
        WorkerSeen(
            id=instance.id,
            state=SupplyState.STARTING,
            age_s=instance.age_s,
            silent_s=instance.age_s,
            live=0,
            instance=instance.state,
            detail=instance.detail,
        )
        for instance in region.instances.last
        if not instance.counts
    ]
    return (*found, *missing)


def claims_by_worker(region: Region) -> Counter[str] | None:
    """Calls with a claim, by the worker whose job has it; None: the calls are not known now."""
    snapshot = region.fresh_snapshot()
    return None if snapshot is None else Counter(call.claim.worker for call in snapshot.calls if call.claim)


def _silent_s(region: Region, worker: Worker) -> float:
    reported = region.reports.last.get(worker.id)
    return worker.silent_s if reported is None else reported.silent_s + region.reports.age_s


def _stands_still(worker: Worker, silent_s: float) -> bool:
    return worker.state in (SupplyState.READY, SupplyState.DRAINING) and silent_s > PROMPT_S
