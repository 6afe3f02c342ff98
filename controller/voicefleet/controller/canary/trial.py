"""A canary as every replica sees it: the two versions, the weights of now, and the figures that were read last."""

from __future__ import annotations

from dataclasses import dataclass

from voicefleet.controller.canary.decide import Decision, Evidence, Verdict
from voicefleet.controller.canary.store import Record
from voicefleet.controller.settings.agents import ObjectivesSettings


@dataclass(frozen=True, slots=True)
class Trial:
    """What the settings say of a canary."""

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


@dataclass
class TrialView:
    """One canary. Only writer: `controller.canary.analysis`."""

    trial: Trial
    record: Record | None = None
    known: bool = False
    """Whether `record` was read since this replica began. Unknown, or not begun: it gets no call."""
    evidence: Evidence | None = None
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

    @property
    def serves_its_queue(self) -> bool:
        """Whether callers who wait in its pool wait for it: else they go to the stable version at once."""
        return self.decided is Decision.PROMOTE
