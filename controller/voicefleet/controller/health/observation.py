"""What the health of a region is told from: one frozen value. None: not known now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from voicefleet.controller.ports import InstanceState
from voicefleet.controller.regions.read_results import FailedRead
from voicefleet.scaling import SupplyState


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """One worker of the pool."""

    id: str
    state: SupplyState
    """As its reports of the last seconds tell: one that stands still is not ready."""
    age_s: float
    silent_s: float
    """Since its last report; of one that never reported, since it began."""
    live: int
    """Calls that it last reported."""
    calls: int | None = None
    """Calls that are its own now, by their claims; None: not known."""
    instance: InstanceState | None = None
    """None: somebody else runs it."""
    detail: str = ""
    """Why its instance does not run, if that is known."""
    tier_level: int = 0
    """Steps down its ladder of tiers, as far as it tells."""
    tier_why: str = ""
    """What its last step was taken for."""


@dataclass(frozen=True, slots=True)
class TurnCounts:
    """Turns of callers within some time, as the workers report."""

    answered: int = 0
    failed: int = 0
    """The caller got no answer: an error, or an apology instead."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Failed requests to providers, by ``stage/kind``, such as ``llm/timeout``."""
    window_s: float = 60.0

    @property
    def turns(self) -> int:
        return self.answered + self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthObservation:
    """A region at one moment. Counts are calls, workers and callers.

    Attributes:
        failed_reads: source -> why its last read failed.
        managed: the workers are ours to start.
        wanted: workers that there should be.
        start_timeout_s: a worker that has not registered after this is started anew.
        trouble: why the fleet does not start what it was asked to, in words; may be empty.
        access_ends_s: seconds until our access to the workers' cluster ends, once it should have been renewed.
        free: slots that can take a call now.
        oldest_wait_s: how long the first of the waiting callers has waited.
        silent: calls whose caller has waited for a voice for more than 10 s.
        refused: why, as in `regions.refusals` -> callers of the last minute who were refused.
        accepted: tickets given in the last minute.
        turns: None: no worker tells.
        election: why no leader can be elected; empty when one can.
    """

    region: str
    failed_reads: Mapping[str, FailedRead] = field(default_factory=dict)
    calls_known: bool
    workers_known: bool
    managed: bool = True
    wanted: int | None
    max_workers: int
    start_timeout_s: float
    workers: tuple[WorkerSeen, ...] = ()
    trouble: str = ""
    access_ends_s: float | None = None
    free: int | None = None
    live: int | None = None
    waiting: int | None = None
    oldest_wait_s: float = 0.0
    silent: int | None = None
    refused: Mapping[str, int] = field(default_factory=dict)
    accepted: int = 0
    turns: TurnCounts | None = None
    election: str = ""

    def count(self, state: SupplyState) -> int:
        """Workers in this state."""
        return sum(worker.state is state for worker in self.workers)

    @property
    def ready(self) -> int:
        return self.count(SupplyState.READY)
