"""Analyses one canary: reads both versions' figures, decides, and keeps the verdict in Redis. Every replica reads it,
the leader alone decides."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from voicefleet.contract.call_log import CallLog
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.health import HealthState
from voicefleet.contract.incidents import IncidentKind
from voicefleet.controller.canary.decide import SLOW_RATIO, Decision, Evidence, Objective, Share, Verdict, decide
from voicefleet.controller.canary.figures import Figures, figures_of
from voicefleet.controller.canary.store import CanaryStore, FigureStore, Record
from voicefleet.controller.canary.trial import TierView, TrialView
from voicefleet.controller.leader.leadership import Leadership
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.redis.connection import RedisClient

LOOK_EVERY_S = 1.0
EVALUATE_EVERY_S = 2.0
"""The logs of all calls that go on are read each time."""

V = TypeVar("V", TrialView, TierView)

log = get_logger(__name__)


class VersionFigures:
    """The figures of one version since the canary began: of calls that are over, and of those that go on."""

    def __init__(self, redis: RedisClient, region: Region, view: TrialView) -> None:
        self._region = region
        self._view = view
        self._store = FigureStore(redis, region.name, view.trial.id)

    async def note_over(self, call: CallLog, *, failed: bool = False) -> None:
        """A call is over, or is taken from this version; `failed`: its agent was lost, or failed as it began."""
        if self._counts(call):
            ttfa_s = self._view.trial.objectives.ttfa_p95_s
            await self._store.add(figures_of(call, ttfa_s=ttfa_s, over=True, failed=failed))

    async def all(self) -> Figures:
        """Raises `UnknownStateError`."""
        found = await self._store.ended()
        for call in await self._store.open_calls():
            if (one := await self._region.calls.logs.read(call)) is not None and self._counts(one):
                found += figures_of(one, ttfa_s=self._view.trial.objectives.ttfa_p95_s)
        return found

    def _counts(self, call: CallLog) -> bool:
        record = self._view.record
        return record is not None and record.verdict is None and int(call.log["opened_ms"]) >= record.began_ms


class Analysis(ABC, Generic[V]):
    """Looks at one canary again and again: the leader begins it and decides, everybody reads.

    Args:
        canary: the pool that it is tried in.
    """

    what: str
    """What is tried, as it reads in a sentence: `version`, `tier`."""

    def __init__(self, redis: RedisClient, view: V, canary: Region, leadership: Leadership) -> None:
        self._view: V = view
        self._canary = canary
        self._leadership = leadership
        self._store = CanaryStore(redis, view.trial.pool, view.trial.id)
        self._evaluated_s = -math.inf

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.once()
            await self._canary.clock.sleep(LOOK_EVERY_S)

    async def once(self) -> None:
        """One look. While Redis does not answer nothing is decided, and what was known stays."""
        region, view = self._canary, self._view
        try:
            view.record = await self._store.read()
            if view.record is None and self._leadership.leads:
                await self._store.begin(await region.calls.logs.now_ms())
                view.record = await self._store.read()
            view.known = True
            if view.record is not None and view.record.verdict is None and self._leadership.leads:
                await self._evaluate(view.record)
            elif view.record is not None and view.record.verdict is not None:
                view.verdict = view.record.verdict
            await self._looked()
        except UnknownStateError as error:
            region.reads.failed("canary", error)
            return
        region.reads.succeeded("canary")

    @abstractmethod
    async def _judge(self, record: Record, now_ms: int) -> Verdict:
        """The verdict on what was seen so far; the view gets what it is made from. Raises `UnknownStateError`."""

    async def _looked(self) -> None:
        """What else a look is for. Raises `UnknownStateError`."""
        return

    async def _evaluate(self, record: Record) -> None:
        region, view = self._canary, self._view
        if region.clock.monotonic() - self._evaluated_s < EVALUATE_EVERY_S:
            return
        self._evaluated_s = region.clock.monotonic()
        now_ms = await region.calls.logs.now_ms()
        view.verdict = verdict = await self._judge(record, now_ms)
        if verdict.decision is not Decision.WAIT and await self._store.decide(verdict, now_ms):
            view.record = await self._store.read()
            region.pool_wake.set()
            self._tell(verdict)

    def _tell(self, verdict: Verdict) -> None:
        trial = self._view.trial
        promoted = verdict.decision is Decision.PROMOTE
        outcome = "promoted" if promoted else "rolled back"
        of = f" of agent {trial.agent}" if trial.agent else ""
        self._canary.incidents.note(
            IncidentKind.CANARY,
            f"canary {self.what}{trial.version}{of} {outcome}: {verdict.reason}",
            subject=f"{trial.agent}/{trial.version}" if trial.agent else trial.version,
            state=HealthState.OK if promoted else HealthState.DEGRADED,
        )
        say = log.info if promoted else log.error
        say(
            f"canary {outcome}",
            region=trial.region,
            agent=trial.agent,
            version=trial.version,
            pool=trial.pool,
            reason=verdict.reason,
        )


class CanaryAnalysis(Analysis[TrialView]):
    """Analyses a version that is tried.

    Args:
        canary: its pool; `stable`: that of the version beside it.
    """

    what = ""

    def __init__(
        self, redis: RedisClient, view: TrialView, canary: Region, stable: Region, leadership: Leadership
    ) -> None:
        super().__init__(redis, view, canary, leadership)
        self.canary_figures = VersionFigures(redis, canary, view)
        self.stable_figures = VersionFigures(redis, stable, view)
        self._not_ready_since_s: float | None = None

    async def _judge(self, record: Record, now_ms: int) -> Verdict:
        region, view = self._canary, self._view
        canary, stable = await self.canary_figures.all(), await self.stable_figures.all()
        view.evidence = Evidence(
            elapsed_s=(now_ms - record.began_ms) / 1000,
            calls=canary.calls,
            objectives=objectives(view, canary, stable),
            min_calls=view.trial.objectives.min_calls,
            duration_s=view.trial.objectives.duration_s,
            not_ready_s=self._not_ready_s(),
            start_error=region.fleet.trouble() if region.fleet is not None else "",
        )
        return decide(view.evidence)

    def _not_ready_s(self) -> float:
        region = self._canary
        reports, decision = region.reports.fresh(), region.pool.decision
        now_s = region.clock.monotonic()
        ready = reports is None or any(r.fresh and r.report.state == "ready" for r in reports.values())
        if ready or decision is None or not decision.desired:
            self._not_ready_since_s = None
            return 0.0
        self._not_ready_since_s = now_s if self._not_ready_since_s is None else self._not_ready_since_s
        return now_s - self._not_ready_since_s


def objectives(view: TrialView, canary: Figures, stable: Figures) -> tuple[Objective, ...]:
    """The four objectives with what was counted of both versions."""
    asked = view.trial.objectives
    return (
        Objective(
            "turns without an answer",
            asked.error_ratio,
            Share(canary.errors, canary.turns),
            Share(stable.errors, stable.turns),
        ),
        Objective(
            f"turns slower than {asked.ttfa_p95_s:g} s",
            SLOW_RATIO,
            Share(canary.slow, canary.answered),
            Share(stable.slow, stable.answered),
        ),
        Objective(
            "calls with a silence",
            asked.silent_ratio,
            Share(canary.silent, canary.calls),
            Share(stable.silent, stable.calls),
        ),
        Objective(
            "calls whose agent was lost",
            asked.crash_ratio,
            Share(canary.crashed, canary.calls),
            Share(stable.crashed, stable.calls),
        ),
    )
