"""Puts what was read of a pool together into one observation. Pure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from voicefleet.contract.pools import PoolSpec
from voicefleet.contract.reports import WorkerReport, WorkerState
from voicefleet.controller.calls.snapshots import Snapshot
from voicefleet.controller.pool.call_stats import CallStats
from voicefleet.controller.pool.startups import Startup
from voicefleet.controller.pool.worker_store import Reported
from voicefleet.controller.ports import Instance, InstanceState
from voicefleet.scaling import Campaign, PoolObservation, SupplyState, SureCalls, Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What was read for one observation, at `now_s`. None: it could not be read.

    Attributes:
        managed: False when no fleet of ours owns the workers: then the reports are the workers.
        instances: what the fleet owns; a report of a worker that is not among them gives load, not supply.
        instances_known: False when `instances` are the last known ones, because they cannot be read now.
        settled: see `PoolObservation`.
        reports: by worker.
        heard_for_s: for how long reports could be read without a break. Nobody counts as silent for longer: what was
            said before was not heard.
        last_reported_s: when a report of each worker was last there. One that reported once and has none now is silent,
            and does not start for the second time: Redis may have lost everything.
        leaving: workers that somebody ordered to drain and end: no supply from now on.
        snapshot: the calls.
        sure: the calls that are there whatever else there is, when `snapshot` is not known: a lower bound.
        stats: what `snapshot` and those before say of arrivals and durations.
        startups: of workers that have registered since the last observation.
        campaigns: those that are not over.
        floor: see `PoolObservation`.
    """

    now_s: float
    start_timeout_s: float
    managed: bool = True
    instances: Sequence[Instance] = ()
    instances_known: bool = True
    settled: bool = True
    reports: Mapping[str, Reported] | None
    last_reported_s: Mapping[str, float] = field(default_factory=dict)
    heard_for_s: float = math.inf
    leaving: Collection[str] = ()
    snapshot: Snapshot | None
    sure: Snapshot | None = None
    stats: CallStats | None = None
    startups: Sequence[Startup] = ()
    campaigns: tuple[Campaign, ...] = ()
    floor: int = 0


def compose(spec: PoolSpec, readings: Readings) -> PoolObservation:
    """The pool at `readings.now_s`; whatever could not be read is unknown in it."""
    snapshot, reports = readings.snapshot, readings.reports or {}
    # A call whose claim is not written yet, or whose caller just left, still has a slot.
    held = _held([r.report for r in reports.values() if r.fresh])
    live: int | None = None
    if snapshot is not None and readings.reports is not None:
        live = max(snapshot.live, held)
    least: SureCalls | None = None
    if (found := snapshot or readings.sure) is not None:
        least = SureCalls(max(found.live, held), found.waiting, found.joining)
    stats = readings.stats
    return PoolObservation(
        spec=spec,
        now_s=readings.now_s,
        workers=_workers(spec, readings),
        calls_live=live,
        calls_waiting=snapshot.waiting if snapshot else None,
        calls_joining=snapshot.joining if snapshot else None,
        sure=least,
        complete=live is not None and (not readings.managed or readings.instances_known),
        start_timeout_s=readings.start_timeout_s,
        settled=readings.settled,
        managed=readings.managed,
        arrived=stats.arrived if stats else None,
        ages_s=stats.ages_s if stats else None,
        ended_s=stats.ended_s if stats else (),
        started_s=tuple(startup.total_s for startup in readings.startups),
        campaigns=readings.campaigns,
        floor=readings.floor,
        can_register=readings.reports is not None,
    )


def _held(reports: Sequence[WorkerReport]) -> int:
    """Calls that workers have. Two workers report the same room while its call is handed off: that is one call."""
    rooms = [room for report in reports for room in report.rooms]
    return sum(report.busy for report in reports) - (len(rooms) - len(set(rooms)))


def _workers(spec: PoolSpec, readings: Readings) -> tuple[Worker, ...]:
    reports, known = readings.reports or {}, readings.reports is not None
    if not readings.managed:
        workers = [_unmanaged_worker(r) for r in reports.values()]
    else:
        silent = {worker: readings.now_s - at_s for worker, at_s in readings.last_reported_s.items()}
        there = [instance for instance in readings.instances if instance.counts]
        workers = [_worker(spec, i, reports.get(i.id), known, silent.get(i.id)) for i in there]
    heard_s = readings.heard_for_s if known else 0.0
    workers = [w if w.silent_s <= heard_s else dataclasses.replace(w, silent_s=heard_s) for w in workers]
    return tuple([_leaving(w, reports.get(w.id), readings) if w.id in readings.leaving else w for w in workers])


def _leaving(worker: Worker, known: Reported | None, readings: Readings) -> Worker:
    """`worker`, whose end was requested: no supply from now on, whether it was told yet or not."""
    if readings.managed:
        # A second SIGTERM would cut the calls of one that ends by itself.
        told = worker.state is SupplyState.STOPPING or (known is not None and known.fresh and known.left_by_itself)
    else:
        told = known is not None and known.order is not None and known.order.leave
    return dataclasses.replace(worker, state=SupplyState.STOPPING, end_requested=not told)


def _worker(
    spec: PoolSpec, instance: Instance, known: Reported | None, reports_known: bool, lost_report_s: float | None
) -> Worker:
    if known is None and lost_report_s is not None and instance.state is not InstanceState.STOPPING:
        return Worker(instance.id, SupplyState.UNKNOWN, spec.slots, 0, age_s=instance.age_s, silent_s=lost_report_s)
    if known is None:
        starting = SupplyState.STARTING if reports_known else SupplyState.UNKNOWN
        state = SupplyState.STOPPING if instance.state is InstanceState.STOPPING else starting
        stuck = instance.state.stuck
        return Worker(instance.id, state, spec.slots, 0, age_s=instance.age_s, silent_s=instance.age_s, stuck=stuck)
    report, gone_by_itself = known.report, known.left_by_itself
    if instance.state is InstanceState.STOPPING:
        state = SupplyState.STOPPING
    elif not reports_known or not known.fresh:
        state = SupplyState.UNKNOWN
    else:
        state = SupplyState(report.state)
    return Worker(
        id=instance.id,
        state=state,
        slots=report.slots,
        live=report.live,
        accepting=report.accepting,
        age_s=instance.age_s,
        silent_s=known.silent_s,
        # Redis may have lost our order to a worker that carried it out: what it does tells what it was.
        cordoned=known.order.cordon if known.order else report.state == WorkerState.DRAINING and not gone_by_itself,
        order_seen=gone_by_itself or (known.order is not None and report.order_seen >= known.order.serial),
        order_lost=state is SupplyState.DRAINING and known.order is None and not gone_by_itself,
    )


def _unmanaged_worker(known: Reported) -> Worker:
    report = known.report
    return Worker(
        id=report.worker,
        state=SupplyState(report.state) if known.fresh else SupplyState.UNKNOWN,
        slots=report.slots,
        live=report.live,
        accepting=report.accepting,
        age_s=report.uptime_s,
        silent_s=known.silent_s,
        cordoned=report.state == WorkerState.DRAINING,
    )
