"""Reconciles one pool every tick: read, observe, decide, plan, act."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from voicefleet.contract.api import DecisionView
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.reports import WorkerState
from voicefleet.controller.leader.leadership import Leadership, Term
from voicefleet.controller.pool.model_updater import ModelUpdater
from voicefleet.controller.pool.observe import Readings, compose
from voicefleet.controller.pool.reader import PoolReader
from voicefleet.controller.pool.telemetry import PoolTelemetry
from voicefleet.controller.pool.worker_store import Reported
from voicefleet.controller.ports import InstanceExit, InstanceState
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.scaling import Actions, Decision, State, initial_state, plan, step

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
        observation = compose(region.settings.pool, readings)
        if self._state is None:
            self._state = initial_state(observation.now_s, observation.supply, await self._model_updater.restore())
        before = region.decision
        self._state, decision = step(self._state, observation)
        region.observation, region.decision = observation, decision
        region.mean_call_s = self._state.learned.durations.mean_s
        actions = plan(observation, decision) if readings.managed and observation.spec.act else Actions()
        leads = self._leadership.leads
        self._telemetry.record(
            observation, decision, before=before, instances=readings.instances, startups=readings.startups
        )
        self._log_decision(before, decision, actions if leads else Actions())
        if leads:
            await self._model_updater.save(self._state.learned)
        try:
            if leads:
                await self._enter()
            if not readings.managed or (leads and readings.instances_known):
                await self._act(actions, readings)
            elif leads or self._nobody_leads_and_callers_wait():
                await self._order(dict.fromkeys(actions.uncordon, False), readings.reports or {})
        except UnknownStateError as error:
            region.read_failed("orders", error)
            return
        region.read_succeeded("orders")
        if observation.complete:
            region.metrics.last_success.labels(region.name).set(region.clock.wall().timestamp())

    def _lead_s(self) -> float:
        """How long it takes until a worker that is requested now is ready."""
        tables = self._state.learned.tables if self._state else None
        return tables.horizons_s[0] * _MARGIN if tables else self._region.settings.start_timeout_s

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
                region.departed[exited.id] = region.clock.monotonic()
        self._unforgotten += new
        if not self._unforgotten:
            return False
        region.wake.set()
        try:
            await region.workers.forget({d.id for d in self._unforgotten if d.sure})
        except UnknownStateError as error:
            region.read_failed("exits", error)
            return False
        region.read_succeeded("exits")
        self._unforgotten.clear()
        return True

    async def _act(self, actions: Actions, readings: Readings) -> None:
        region, reported, leaving = self._region, readings.reports or {}, frozenset(readings.leaving)
        if region.fleet is None:
            if readings.reports is not None:
                await self._order_to_leave(leaving, reported)
            return
        own = {i.id for i in readings.instances if i.state is not InstanceState.STOPPING}
        orders = dict.fromkeys(actions.uncordon, False) | dict.fromkeys(actions.cordon, True)
        for worker in own - orders.keys():
            # An order that Redis lost is given again, so that the worker can be retired.
            known = reported.get(worker)
            draining = known and known.fresh and known.report.state == WorkerState.DRAINING
            if known and draining and known.order is None and not known.left_by_itself:
                orders[worker] = True
        await self._order(orders, reported)
        ending = {w for w, r in reported.items() if r.fresh and r.left_by_itself}
        wanted = dict.fromkeys((*actions.retire, *actions.replace, *sorted(leaving)))
        victims = [v for v in wanted if v in own and v not in ending]
        await region.fleet.scale(actions.start, victims)

    async def _enter(self) -> None:
        """Once for each term: leaders before are refused from now on, whatever they slept through. When Redis does not
        answer, the next tick tries again: growth needs no Redis."""
        term = self._leadership.term
        if term is not None and term != self._entered:
            with contextlib.suppress(UnknownStateError):
                await self._region.workers.enter(term)
                self._entered = term

    async def _order(self, orders: Mapping[str, bool], reported: Mapping[str, Reported]) -> None:
        for worker, cordon in orders.items():
            if cordon and not self._leadership.leads:
                continue  # lost meanwhile
            # Only a scale-down is the leader's alone: anybody may bring a worker back.
            term = self._leadership.term if cordon else None
            await self._region.workers.order(worker, cordon=cordon, after=_seen(reported.get(worker)), term=term)

    def _nobody_leads_and_callers_wait(self) -> bool:
        """With no API server nobody is elected, and workers that were about to leave could serve these callers. Every
        replica may bring them back: nobody cordons meanwhile."""
        snapshot = self._region.sure_snapshot()
        return bool(self._leadership.trouble and snapshot is not None and snapshot.waiting)

    async def _order_to_leave(self, leaving: frozenset[str], reported: Mapping[str, Reported]) -> None:
        """Workers that somebody else runs are told to end by themselves."""
        region = self._region
        for worker in leaving:
            known = reported.get(worker)
            if known is None:
                await region.workers.forget([worker])  # it is gone, in good order
            elif known.order is None or not known.order.leave:
                await region.workers.order(worker, cordon=True, leave=True, after=_seen(known))

    def _log_decision(self, before: Decision | None, decision: Decision, actions: Actions) -> None:
        region, name = self._region, self._region.name
        # Logged once: while starts are held back after failed ones, each pass plans the same again.
        told, self._last_logged = self._last_logged, actions
        if not actions.none and actions != told:
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
            )
        if before and (before.desired, before.reason) == (decision.desired, decision.reason) and actions.none:
            return
        self._decisions.kept.append(
            DecisionView(
                region=name,
                at=region.clock.wall().isoformat(timespec="milliseconds"),
                desired=decision.desired,
                reason=decision.reason.value,
                detail=decision.detail,
                inputs=decision.inputs,
                shadow=not self._leadership.leads or not region.settings.pool.act,
            )
        )


def _seen(known: Reported | None) -> int:
    """The highest serial number that a worker may have seen."""
    if known is None:
        return 0
    return max(known.report.order_seen, known.order.serial if known.order else 0)
