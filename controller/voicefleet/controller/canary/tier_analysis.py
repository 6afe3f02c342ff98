"""Analyses a canary of tiers, and says in Redis which tier the pool's calls get: the jobs read it."""

from __future__ import annotations

from voicefleet.contract.call_log import CallLog
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.tier_choice import TierChoice
from voicefleet.controller.canary.analysis import LOOK_EVERY_S, Analysis
from voicefleet.controller.canary.decide import Decision, Verdict
from voicefleet.controller.canary.store import ChoiceStore, OutcomeStore, Record
from voicefleet.controller.canary.tiers import compare_tiers, decide_tiers, drawn_tier, good_call, missing
from voicefleet.controller.canary.trial import TierView
from voicefleet.controller.leader.leadership import Leadership
from voicefleet.controller.regions.region import Region
from voicefleet.runtime.redis.connection import RedisClient


class TierAnalysis(Analysis[TierView]):
    """Analyses a tier that is tried in the pool `canary`."""

    what = "tier "

    def __init__(self, redis: RedisClient, view: TierView, canary: Region, leadership: Leadership) -> None:
        super().__init__(redis, view, canary, leadership)
        trial = view.trial
        self._outcomes = OutcomeStore(redis, trial.pool, trial.id)
        self._choices = ChoiceStore(redis, trial.pool)
        self._counted = -1

    async def note_over(self, call: CallLog) -> None:
        """A call of the pool is over. Raises `UnknownStateError`."""
        view = self._view
        tier = drawn_tier(call, view.trial.id)
        if view.record is None or view.record.verdict is not None or not tier:
            return
        if (good := good_call(call, view.trial.rule.judge)) is not None:
            await self._outcomes.add(tier, good=good)

    async def _judge(self, record: Record, now_ms: int) -> Verdict:
        view, trial = self._view, self._view.trial
        if why := self._missing():
            return Verdict(Decision.WAIT, why)
        calls = await self._outcomes.read()
        if view.comparison is None or self._counted != len(calls):
            self._counted = len(calls)
            # A tenth of a second at most (`MOST_CALLS`), once a call that counts is over.
            view.comparison = compare_tiers(calls, trial)
        return decide_tiers(view.comparison, trial.rule)

    async def _looked(self) -> None:
        view, trial = self._view, self._view.trial
        if not self._leadership.leads:
            return
        if view.decided is Decision.PROMOTE:
            await self._choices.put(TierChoice(trial.version))
        elif view.decided is Decision.ROLL_BACK or self._missing():
            await self._choices.put(TierChoice(trial.stable))
        else:
            await self._choices.put(TierChoice(trial.stable, trial.version, view.weight, trial.id))

    def _missing(self) -> str:
        trial = self._view.trial
        return missing(self._canary.reports.tiers, trial.stable, trial.version)


class PoolTier:
    """Says in Redis the one tier that the settings name for a pool."""

    def __init__(self, redis: RedisClient, pool: Region, tier: str) -> None:
        self._pool = pool
        self._choice = TierChoice(tier)
        self._choices = ChoiceStore(redis, pool.name)

    async def run(self) -> None:
        """Say it again until cancelled; every replica says the same."""
        while True:
            try:
                await self._choices.put(self._choice)
            except UnknownStateError as error:
                self._pool.reads.failed("tier", error)
            else:
                self._pool.reads.succeeded("tier")
            await self._pool.clock.sleep(LOOK_EVERY_S)
