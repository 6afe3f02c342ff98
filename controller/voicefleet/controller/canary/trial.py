"""A canary as every replica sees it: what is tried, its share of now, and what was read of it last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from voicefleet.controller.canary.decide import Decision, Evidence, Verdict
from voicefleet.controller.canary.sequential import Comparison
from voicefleet.controller.canary.store import Record
from voicefleet.controller.settings.agents import ObjectivesSettings
from voicefleet.controller.settings.tier import TierCanarySettings


@dataclass(frozen=True, slots=True)
class Trial:
    """What the settings say of a canary: a version of an agent."""

    region: str
    agent: str
    version: str
    stable: str
    """The version that has proved itself."""
    pool: str
    """The canary's."""
    stable_pool: str
    weight: int
    """Its share of the new calls while it is tried, percent."""
    objectives: ObjectivesSettings
    id: str
    """Fingerprint of its settings."""


@dataclass(frozen=True, slots=True)
class TierTrial:
    """What the settings say of a canary: a tier beside another one, in one pool."""

    region: str
    agent: str
    version: str
    """The tier that is tried."""
    stable: str
    """The tier that has proved itself."""
    pool: str
    weight: int
    """Its share of the calls that name no tier, percent."""
    rule: TierCanarySettings
    id: str
    """Fingerprint of its settings, the shares too: another one is tried anew."""

    @property
    def stable_per_canary(self) -> int:
        """Calls of the stable tier for one of the canary, as they come."""
        return max(1, round((100 - self.weight) / self.weight))


T = TypeVar("T", Trial, TierTrial)


@dataclass
class View(Generic[T]):
    """One canary. Only writer: its analysis in `controller.canary`."""

    trial: T
    record: Record | None = None
    known: bool = False
    """Whether `record` was read since this replica began. Unknown, or not begun: it gets no call."""
    verdict: Verdict | None = None
    """The last one, `wait` too; of the leader alone until it is final."""

    @property
    def decided(self) -> Decision | None:
        """What became of it; None: it is tried still, or that is not known."""
        return self.record.verdict.decision if self.record is not None and self.record.verdict is not None else None

    @property
    def weight(self) -> int:
        """Its share of the new calls now, percent."""
        if self.record is None:
            return 0
        return {Decision.PROMOTE: 100, Decision.ROLL_BACK: 0}.get(self.decided or Decision.WAIT, self.trial.weight)


@dataclass
class TrialView(View[Trial]):
    """A version that is tried."""

    evidence: Evidence | None = None

    @property
    def serves_its_queue(self) -> bool:
        """Whether callers who wait in its pool wait for it: else they go to the stable version at once."""
        return self.decided is Decision.PROMOTE


@dataclass
class TierView(View[TierTrial]):
    """A tier that is tried."""

    comparison: Comparison | None = None
