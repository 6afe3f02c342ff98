"""Reconciles one pool every tick: read, observe, decide, plan, act."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from voicefleet.contract.api import DecisionView
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.health import HealthState
from voicefleet.contract.incidents import IncidentKind
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.controller.leader.leadership import Leadership, Term
from voicefleet.controller.pool.model_updater import ModelUpdater
from voicefleet.controller.pool.observe import Readings, compose
from voicefleet.controller.pool.reader import PoolReader
from voicefleet.controller.pool.telemetry import PoolTelemetry
from voicefleet.controller.pool.worker_store import Reported
from voicefleet.controller.ports import InstanceExit
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.scaling import Actions, Decision, PoolObservation, State, initial_state, permitted, plan, step

DECISIONS_KEPT = 1_000
_LOOK_EVERY_S = 0.25
_MARGIN = 1.3
"""Of the usual start time: a worker for what the schedule asks for shall be ready in time."""

log = get_logger(__name__)


@dataclass
class DecisionLog:
    """The last decisions of all pools that differed from the one before, the newest last."""

    kept: deque[DecisionView] = field(default_factory=lambda: deque(maxlen=DECISIONS_KEPT))


class PoolReconciler:
    """Scales one pool, when this replica leads. Others observe and decide as well, so that they know all when they are
    to lead, and act on nothing. A pool without a fleet is only observed."""

    def __init__(self, region: Region, decisions: DecisionLog, leadership: Leadership, *, tick_s: float) -> None:
        self._region = region
        self._leadership = leadership
        self._decisions = decisions
        self._tick_s = tick_s
        self._state: State | None = None
        self._unforgotten: list[InstanceExit] = []
        self._last_logged = Actions()
        self._entered: Term | None = None
        self._away = False
        """Redis or LiveKit was, in the last pass: no worker could start."""
        self._starts_held = False
        self._telemetry = PoolTelemetry(region.metrics)
        self._reader = PoolReader(region)
        self._model_updater = ModelUpdater(region)

    async def run(self) -> None:
        """Tick until cancelled; then leave what was learned for the next leader."""
        clock = self._region.clock
        try:
            while True:
                self._region.pool_wake.clear()
                await self.tick()
                next_s = clock.monotonic() + self._tick_s
                # A worker that died holds callers in silence: that is not left to the next tick.
                while (left_s := next_s - clock.monotonic()) > 0 and not await self._reap_exited():
                    if self._region.pool_wake.is_set():
                        break
                    await clock.sleep(min(left_s, _LOOK_EVERY_S))
        finally:
            if self._state is not None and self._leadership.leads:
                await self._model_updater.save(self._state.learned, at_once=True)

    async def tick(self) -> None:
        """One pass. Reads and writes that fail leave the pool as it is until the next one."""
        region = self._region
        await self._reap_exited()
        readings = await self._reader.read(self._lead_s())
        if readings is None:
            return
        self._tell_fleet(readings)
        observation = compose(region.spec, readings)
        if self._state is None:
            self._state = initial_state(observation.now_s, observation.supply, await self._model_updater.restore())
        before = region.pool.decision
        self._state, decision = step(self._state, observation)
        region.pool = region.pool.with_pass(observation, decision, self._state.learned.durations.mean_s)
        leads = self._leadership.leads
        self._note_held(decision, observation)
        actions = plan(observation, decision)
        if readings.managed:
            actions = permitted(
                actions,
                leads=leads,
                instances_known=readings.instances_known,
                cannot_elect=bool(self._leadership.trouble),
                callers_wait=(sure := region.sure_snapshot()) is not None and sure.waiting > 0,
            )
        self._telemetry.record(observation, decision, before=before, startups=readings.startups)
        self._log_decision(before, decision, actions)
        if leads:
            await self._model_updater.save(self._state.learned)
        try:
            await self._carry_out(actions, readings)
        except UnknownStateError as error:
            region.reads.failed("orders", error)
            return
        region.reads.succeeded("orders")
        if observation.complete:
            region.metrics.gauges[catalogue.SCALER_LAST_SUCCESS].labels(region.name).set(
                region.clock.wall().timestamp()
            )

    def _tell_fleet(self, readings: Readings) -> None:
        """What it cannot know: whose start succeeded, and that what others failed of is over."""
        region, before = self._region, self._away
        if region.fleet is None:
            return
        if readings.startups:
            region.fleet.registered({startup.worker for startup in readings.startups})
        self._away = readings.reports is None or "listing" in region.reads.troubles
        if before and not self._away:
            region.fleet.try_again()

    def _note_held(self, decision: Decision, observation: PoolObservation) -> None:
        missing = decision.desired - observation.supply if decision.starts == 0 else 0
        if missing > 0 and not self._starts_held:
            text = f"{missing} more workers are wanted and not started: Redis is away, and they could not register"
            self._region.incidents.note(IncidentKind.STARTS_HELD, text, subject="redis", state=HealthState.DEGRADED)
        self._starts_held = missing > 0

    def _lead_s(self) -> float:
        """How long it takes until a worker that is requested now is ready."""
        tables = self._state.learned.tables if self._state else None
        return tables.horizons_s[0] * _MARGIN if tables else self._region.settings.pool.start_timeout_s

    async def _reap_exited(self) -> bool:
        """Delete the reports of workers that have ended. Tried again until Redis does it; `recovery` frees their calls.

        Returns:
            True when workers were deleted: the pool is another one now.
        """
        region = self._region
        if region.fleet is None:
            return False
        for exited in (new := region.fleet.exits()):
            say = log.info if exited.asked else log.error
            say("worker ended", region=region.name, worker=exited.id, asked=exited.asked, detail=exited.detail)
            if exited.sure:
                region.pool = region.pool.with_departed(exited.id, region.clock.monotonic())
            if not exited.asked:
                self._note_lost(exited)
        self._unforgotten += new
        if not self._unforgotten:
            return False
        region.wake.set()
        try:
            await region.workers.forget({d.id for d in self._unforgotten if d.sure})
        except UnknownStateError as error:
            region.reads.failed("exits", error)
            return False
        region.reads.succeeded("exits")
        self._unforgotten.clear()
        return True

    def _note_lost(self, exited: InstanceExit) -> None:
        """A worker that served ended. One that never was ready is the health's to tell: it may be one of very many."""
        region, reported = self._region, self._region.reports.last.get(exited.id)
        if reported is None or reported.report.startup_s is None:
            return
        snapshot, now_s = region.scans.snapshot, region.clock.monotonic()
        now_ms = region.scans.now_ms(snapshot) if snapshot else 0
        region.lost_workers.ended(exited.id, exited.detail, now_s, snapshot, now_ms)

    async def _carry_out(self, actions: Actions, readings: Readings) -> None:
        region, reports = self._region, readings.reports or {}
        if region.fleet is None:
            await self._order_to_leave(actions.end, readings)
            return
        if leads := self._leadership.leads:
            await self._enter()
        for worker in actions.uncordon:
            # Only a scale-down is the leader's alone: anybody may bring a worker back.
            await region.workers.order(worker, cordon=False, after=_last_serial(reports.get(worker)))
        for worker in (*actions.cordon, *actions.cordon_again):
            if self._leadership.leads:  # not lost meanwhile
                term = self._leadership.term
                await region.workers.order(worker, cordon=True, after=_last_serial(reports.get(worker)), term=term)
        if leads and readings.instances_known:
            # Also when there is nothing to do: what was begun for an earlier plan may have to be taken back.
            await region.fleet.scale(actions.start, actions.victims)

    async def _enter(self) -> None:
        """Once for each term: leaders before are refused from now on, whatever they slept through. When Redis does not
        answer, the next tick tries again: growth needs no Redis."""
        term = self._leadership.term
        if term is not None and term != self._entered:
            with contextlib.suppress(UnknownStateError):
                await self._region.workers.enter(term)
                self._entered = term

    async def _order_to_leave(self, workers: Sequence[str], readings: Readings) -> None:
        """Workers that somebody else runs are ordered to end by themselves."""
        region, reports = self._region, readings.reports
        for worker in workers:
            serial = _last_serial(reports.get(worker) if reports else None)
            await region.workers.order(worker, cordon=True, leave=True, after=serial)
        if reports is not None and (gone := [worker for worker in readings.leaving if worker not in reports]):
            await region.workers.forget(gone)  # ended in good order

    def _log_decision(self, before: Decision | None, decision: Decision, actions: Actions) -> None:
        region, name = self._region, self._region.name
        # Logged once: while starts are held back after failed ones, each pass plans the same again.
        last, self._last_logged = self._last_logged, actions
        acts = not actions.none and actions != last
        if acts:
            log.info(
                "pool changes",
                region=name,
                desired=decision.desired,
                reason=decision.reason.value,
                detail=decision.detail,
                start=actions.start,
                cordon=actions.cordon,
                uncordon=actions.uncordon,
                retire=actions.retire,
                replace=actions.replace,
                end=actions.end,
                cordon_again=actions.cordon_again,
            )
        if before and (before.desired, before.reason) == (decision.desired, decision.reason) and not acts:
            return
        self._decisions.kept.append(
            DecisionView(
                region=name,
                at=region.clock.wall().isoformat(timespec="milliseconds"),
                desired=decision.desired,
                reason=decision.reason.value,
                detail=decision.detail,
                inputs=decision.inputs,
                shadow=not self._leadership.leads or region.settings.pool.mode == "shadow",
            )
        )


def _last_serial(known: Reported | None) -> int:
    """The highest serial number that a worker may have seen."""
    if known is None:
        return 0
    return max(known.report.order_seen, known.order.serial if known.order else 0)
