"""The workers of a region as a person should see them: what their reports of the last seconds and their claims tell."""

from __future__ import annotations

from collections import Counter

from voicefleet.controller.health.observation import WorkerSeen
from voicefleet.controller.pool.worker_store import PROMPT_S
from voicefleet.controller.regions.region import Region
from voicefleet.scaling import SupplyState, Worker

_SERVING = frozenset({SupplyState.READY, SupplyState.DRAINING})


def workers_known(region: Region) -> bool:
    """Whether it is known what runs, and what the workers report, as of now. After an outage of Redis they need a
    moment until each has reported again."""
    observation, failing = region.pool.observation, region.reads.failing()
    if observation is None or region.reports.fresh() is None or not region.fresh_instances():
        return False
    heard = _well(region) or all(worker.state is not SupplyState.UNKNOWN for worker in observation.workers)
    return heard and not failing.keys() & {"reports", "instances"}


def _well(region: Region) -> bool:
    """Whether Redis was there for long enough, so that the silence of a worker says something of it."""
    return region.redis.well_for_s(region.clock.monotonic()) > PROMPT_S


def workers_seen(region: Region) -> tuple[WorkerSeen, ...]:
    """Every worker of the pool as it was observed last. One that does not report for `PROMPT_S` is unknown, and not
    ready: it may stand still, though scaling waits longer before it counts on that."""
    observation = region.pool.observation
    if observation is None:
        return ()
    held = claims_by_worker(region)
    instances = {instance.id: instance for instance in region.instances.last}
    ended, well = region.pool.departed(region.clock.monotonic()), _well(region)
    found = []
    for worker in observation.workers:
        if worker.id in ended:
            continue
        instance = instances.get(worker.id)
        silent_s = _silent_s(region, worker)
        reported = region.reports.last.get(worker.id)
        stands_still = well and worker.state in _SERVING and silent_s > PROMPT_S
        found.append(
            WorkerSeen(
                id=worker.id,
                state=SupplyState.UNKNOWN if stands_still else worker.state,
                age_s=worker.age_s,
                silent_s=silent_s,
                live=_reported_busy(region, worker),
                calls=None if held is None else held[worker.id],
                instance=instance.state if instance else None,
                detail=instance.detail if instance else "",
                tier_level=(reported.report.tier_level or 0) if reported is not None else 0,
                tier_why=reported.report.tier_why if reported is not None else "",
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
    return None if snapshot is None else snapshot.calls_of


def _silent_s(region: Region, worker: Worker) -> float:
    reported = region.reports.last.get(worker.id)
    return worker.silent_s if reported is None else reported.silent_s + region.reports.age_s


def _reported_busy(region: Region, worker: Worker) -> int:
    reported = region.reports.last.get(worker.id)
    return worker.busy if reported is None else reported.report.busy
