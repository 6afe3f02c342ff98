"""What a worker reports to the controller every second, and what the controller orders in its answer.

The values are checked when they are read: a report with a field of the wrong kind is unknown, never misread.
"""

from __future__ import annotations

import enum
from dataclasses import field

from pydantic.dataclasses import dataclass

REPORT_EVERY_S = 1.0
STALE_AFTER_S = 10.0
"""A worker's state is unknown once its last report is older than this."""

BAD_OUTCOMES = frozenset({"error"})
"""Outcomes of a turn (labels of `voicefleet_turns`) in which the caller got no answer."""


class WorkerState(enum.StrEnum):
    """starting: not registered with LiveKit yet. ready: takes calls. draining: takes no new call."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What whoever reaches a worker's port is told, without a key: how many calls, never which.

    Ages are seconds, so that no two machines' clocks are compared.
    """

    worker: str
    region: str
    state: str
    slots: int
    live: int
    """Calls in progress, job processes running."""
    accepting: int
    """Calls accepted whose job has not started."""
    uptime_s: float
    """Since the worker's process began."""
    startup_s: float | None = None
    """Process start -> registered with LiveKit; None until then."""


@dataclass(frozen=True, slots=True)
class WorkerReport(WorkerStatus):
    """One worker's report to the controller: its status, and what only those with a key may know."""

    pid: int = 0
    http_port: int = 0
    rooms: list[str] = field(default_factory=list)
    order_seen: int = 0
    """Serial number of the last order carried out."""
    pipeline: str = ""
    """local or synthetic, or the name of the tier's own providers."""
    jobs: list[str] | None = None
    """Jobs with a live process; None from a worker that does not tell."""
    silent: int = 0
    """Calls whose caller has waited for a voice for more than 10 s."""
    ttfa: list[int] | None = None
    """Turns by TTFA since the worker began: one count for each bucket of the metric, and one for all above."""
    tiers: list[str] | None = None
    """Names of the tiers that a call may ask for; None from a worker that does not tell."""
    turns: dict[str, int] | None = None
    """Outcome -> turns since the worker began; None from a worker that does not tell."""
    provider_failures: dict[str, int] | None = None
    """``stage/kind`` -> failed requests to providers since the worker began."""
    tier_level: int | None = None
    """Steps down its ladder of tiers; None: it has none, or does not tell."""
    tier_why: str = ""
    """What its last step was taken for, in words; empty: it took none."""

    @property
    def busy(self) -> int:
        return self.live + self.accepting

    @property
    def free(self) -> int:
        """Slots that can take a call now."""
        return max(0, self.slots - self.busy) if self.state == WorkerState.READY else 0

    @property
    def status(self) -> WorkerStatus:
        """The part that may be told without a key."""
        return WorkerStatus(**{name: getattr(self, name) for name in WorkerStatus.__dataclass_fields__})


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """What the controller wants of a worker. Orders are states, not events: the last one holds."""

    serial: int
    cordon: bool = False
    leave: bool = False
    """Drain and end, as on SIGTERM. There is no way back."""
