"""Puts together what a region's health is told from, out of its views: no I/O."""

from __future__ import annotations

from voicefleet.contract.health import Health
from voicefleet.contract.reports import BAD_OUTCOMES, WorkerState
from voicefleet.controller.calls.snapshots import Snapshot
from voicefleet.controller.health.assess import assess
from voicefleet.controller.health.observation import HealthObservation, TurnCounts
from voicefleet.controller.health.workers import workers_known, workers_seen
from voicefleet.controller.regions.refusals import PLACED, REFUSED, WINDOWS_S
from voicefleet.controller.regions.region import Region

REFUSED_WINDOW_S = WINDOWS_S[0]
TURNS_WINDOWS_S = (60.0, 300.0)
"""The last minute; where few spoke in it, more of the past."""
LEAST_TURNS = 3


def region_health(region: Region, *, election: str = "") -> Health:
    """How well `region` is now. `election`: why no leader can be elected; empty when one can."""
    return assess(observe(region, election=election), region.clock.monotonic())


def observe(region: Region, *, election: str = "") -> HealthObservation:
    """What is known of `region` now."""
    pool, snapshot = region.pool, region.fresh_snapshot()
    known = workers_known(region)
    answers = region.refusals.within(REFUSED_WINDOW_S)
    return HealthObservation(
        region=region.name,
        failed_reads=region.reads.failing(),
        calls_known=snapshot is not None,
        workers_known=known,
        managed=region.fleet is not None,
        wanted=pool.decision.desired if pool.decision else None,
        max_workers=region.spec.max_workers,
        start_timeout_s=region.settings.pool.start_timeout_s,
        workers=workers_seen(region),
        trouble=region.fleet.trouble() if region.fleet is not None else "",
        access_ends_s=region.fleet.access_ends_s() if region.fleet is not None else None,
        free=_free(region, snapshot) if known else None,
        live=snapshot.live if snapshot else None,
        waiting=snapshot.waiting if snapshot else None,
        oldest_wait_s=snapshot.oldest_wait_s(region.scans.now_ms(snapshot)) if snapshot else 0.0,
        silent=region.reports.silent,
        refused={result: answers[result] for result in REFUSED if answers[result]},
        accepted=sum(answers[result] for result in PLACED),
        turns=_turns(region),
        election=election if region.fleet is not None else "",
    )


def _free(region: Region, snapshot: Snapshot | None) -> int:
    """Slots of the ready workers that are surely taken by nothing."""
    reports = [reported.report for reported in region.reports.last.values() if reported.prompt]
    free = sum(report.free for report in reports)
    # A job that ends has its slot for a moment longer than its call.
    slots = sum(report.slots for report in reports if report.state == WorkerState.READY)
    return free if snapshot is None else max(free, slots - snapshot.live - snapshot.waiting)


def _turns(region: Region) -> TurnCounts | None:
    if not region.turns.known:
        return None
    now_s = region.clock.monotonic()
    found = TurnCounts()
    for window_s in TURNS_WINDOWS_S:
        counts = region.turns.within(now_s, window_s)
        outcomes = {name.removeprefix("turn:"): n for name, n in counts.items() if name.startswith("turn:")}
        failed = sum(n for outcome, n in outcomes.items() if outcome in BAD_OUTCOMES)
        failures = {name.removeprefix("fail:"): n for name, n in counts.items() if name.startswith("fail:")}
        found = TurnCounts(sum(outcomes.values()) - failed, failed, failures, window_s)
        if found.turns >= LEAST_TURNS:
            break
    return found
