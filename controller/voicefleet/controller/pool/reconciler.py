"""The loop of one pool: observe -> decide -> act, every tick."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from voicefleet.contract.api import DecisionView
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.reports import WorkerState
from voicefleet.controller.leader.leadership import Leadership, Term
from voicefleet.controller.pool.model_updater import ModelUpdater
from voicefleet.controller.pool.observe import compose
from voicefleet.controller.pool.startups import startups
from voicefleet.controller.pool.telemetry import PoolTelemetry
from voicefleet.controller.pool.worker_store import Reported
from voicefleet.controller.ports import Instance, InstanceExit, InstanceState
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.scaling import (
    Actions,
    Decision,
    PolicyState,
    PoolObservation,
    State,
    SupplyState,
    initial_state,
    plan,
    step,
)

DECISIONS_KEPT = 1_000
_LOOK_EVERY_S = 0.25

log = get_logger(__name__)


@dataclass
class DecisionLog:
    """The last decisions of all pools that differed from the one before, the newest last."""

    kept: deque[DecisionView]

    @classmethod
    def empty(cls) -> DecisionLog:
        return cls(deque(maxlen=DECISIONS_KEPT))


class PoolReconciler:
    """Scales one pool, when this replica leads. Others observe and decide as well, so that they know all when they are
    to lead, and act on nothing. A pool without a fleet is only observed."""

    def __init__(self, region: Region, decisions: DecisionLog, leadership: Leadership, *, tick_s: float) -> None:
        self._region = region
        self._leadership = leadership
        self._decisions = decisions
        self._tick_s = tick_s
        self._state: State | None = None
        self._known_s: dict[str, float] = {}
        self._unforgotten: list[InstanceExit] = []
        self._last_logged = Actions()
        self._entered: Term | None = None
        self._telemetry = PoolTelemetry(region.metrics)
        self._registered: frozenset[str] = frozenset()
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
        instances = await self._instances()
        reported = await self._reports()
        leaving = await self._drains()
        managed, known = region.fleet is not None, instances is not None
        if known:
            region.instances, region.instances_at_s = instances or (), region.clock.monotonic()
        elif managed and region.instances_at_s is None:
            return  # not even what was there is known
        observation = compose(
            region.settings.pool,
            region.clock.monotonic(),
            instances=region.instances if managed else None,
            instances_known=known,
            settled=region.fleet is None or not region.fleet.rolling(),
            reported=reported,
            snapshot=region.fresh_snapshot(),
            sure=region.sure_snapshot(),
            start_timeout_s=region.settings.start_timeout_s,
            managed=managed,
            leaving=leaving,
            last_known_s=self._last_known(region.instances if managed else None, reported),
        )
        observation = await self._model_updater.complete(observation, self._state.learned if self._state else None)
        if self._state is None:
            self._state = initial_state(observation.now_s, observation.supply, await self._restored())
        before = region.decision
        self._state, decision = step(self._state, observation)
        region.observation, region.decision = observation, decision
        region.mean_call_s = self._state.learned.durations.mean_s
        actions = plan(observation, decision) if managed and observation.spec.act else Actions()
        leads = self._leadership.leads
        self._log_decision(before, decision, actions if leads else Actions())
        self._learn(reported or {})
        if leads:
            await self._model_updater.save(self._state.learned)
        try:
            if leads:
                await self._enter()
            if not managed or (leads and known):
                await self._act(actions, region.instances, reported, leaving)
            elif leads or self._nobody_leads_and_callers_wait():
                await self._order(dict.fromkeys(actions.uncordon, False), reported or {})
        except UnknownStateError as error:
            region.read_failed("orders", error)
            return
        region.read_succeeded("orders")
        if observation.complete:
            region.metrics.last_success.labels(region.name).set(region.clock.wall().timestamp())

    def _last_known(
        self, instances: tuple[Instance, ...] | None, reported: dict[str, Reported] | None
    ) -> dict[str, float]:
        """When each worker that is there last had a report that could be read."""
        here = {i.id for i in instances or ()}
        now_s = self._region.clock.monotonic()
        self._known_s = {worker: at_s for worker, at_s in self._known_s.items() if worker in here}
        self._known_s.update(dict.fromkeys(here & (reported or {}).keys(), now_s))
        return self._known_s

    async def _restored(self) -> PolicyState | None:
        """What the last leader learned; nothing when Redis does not say: it is learned anew."""
        try:
            return await self._model_updater.restore()
        except UnknownStateError as error:
            log.warning("learning anew", region=self._region.name, error=str(error))
            return None

    async def _instances(self) -> tuple[Instance, ...] | None:
        region = self._region
        if region.fleet is None:
            return None
        try:
            instances = await region.fleet.instances()
        except UnknownStateError as error:
            region.read_failed("instances", error)
            return None
        region.read_succeeded("instances")
        return instances

    async def _reports(self) -> dict[str, Reported] | None:
        region = self._region
        try:
            reported = await region.read_reports()
        except UnknownStateError as error:
            region.read_failed("reports", error)
            return None
        region.read_succeeded("reports")
        return reported

    async def _drains(self) -> frozenset[str]:
        """Workers that are to drain and end. While it cannot be read: none new."""
        region = self._region
        try:
            drains = await region.workers.drains()
        except UnknownStateError as error:
            region.read_failed("drains", error)
            return frozenset()
        region.read_succeeded("drains")
        return drains

    async def _reap_exited(self) -> bool:
        """Take workers that ended off the books. Tried again until Redis takes it; `recovery` frees their calls.

        Returns:
            True when a worker was buried: the pool is another one now.
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

    async def _act(
        self,
        actions: Actions,
        instances: tuple[Instance, ...],
        reports: dict[str, Reported] | None,
        leaving: frozenset[str],
    ) -> None:
        region, reported = self._region, reports or {}
        if region.fleet is None:
            if reports is not None:
                await self._order_to_leave(leaving, reported)
            return
        own = {i.id for i in instances if i.state is not InstanceState.STOPPING}
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

    def _learn(self, reported: Mapping[str, Reported]) -> None:
        """Remember how long workers took that have registered since the last tick."""
        region, now_s = self._region, self._region.clock.monotonic()
        found, self._registered = startups(region.instances, reported, self._registered, now_s)
        for startup in found:
            region.start_times = region.start_times.with_another(startup.total_s)
            for phase, seconds in (*startup.phases.items(), ("total", startup.total_s)):
                region.metrics.startup.labels(region.name, phase).observe(seconds)

    async def _order_to_leave(self, leaving: frozenset[str], reported: dict[str, Reported]) -> None:
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
        observation = region.observation
        assert observation is not None
        self._count(observation, decision)
        self._telemetry.tell(observation, decision)
        last = before.desired if before else observation.supply
        direction = "up" if decision.desired > last else "down" if decision.desired < last else "same"
        region.metrics.decisions.labels(name, direction, decision.reason.value).inc()
        # Told once: while starts are held back after failed ones, each pass plans the same again.
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
                shadow=not self._leadership.leads or not observation.spec.act,
            )
        )

    def _count(self, observation: PoolObservation, decision: Decision) -> None:
        metrics, spec = self._region.metrics, observation.spec
        metrics.desired.labels(spec.region).set(decision.desired)
        metrics.min_workers.labels(spec.region).set(spec.min_workers)
        metrics.max_workers.labels(spec.region).set(spec.max_workers)
        for instance_state in InstanceState:
            count = sum(i.state is instance_state for i in self._region.instances)
            metrics.instances.labels(spec.region, instance_state.value).set(count)
        for state in SupplyState:
            count = sum(w.state is state for w in observation.workers)
            metrics.workers.labels(spec.region, state.value).set(count)


def _seen(known: Reported | None) -> int:
    """The highest serial number that a worker may have seen."""
    if known is None:
        return 0
    return max(known.report.order_seen, known.order.serial if known.order else 0)
