"""An incident: something that happened to a region, for whoever asks days later what went on at night. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

KEPT_DAYS = 14
"""An incident is forgotten after so long."""

MOST_KEPT = 5_000
"""Of one region, about 300 bytes each; beyond, the oldest are forgotten."""

ONCE_IN_S = 30.0
"""The same kind about the same subject is one incident within so long, however many replicas notice it."""

LONGEST_TEXT = 400


class IncidentKind(enum.StrEnum):
    """What kind of thing happened."""

    CONTROLLER_STARTED = "controller_started"
    REDIS_RESTARTED = "redis_restarted"
    """Redis answers and is another one than before: restarted, or a replica took over."""
    WORKER_LOST = "worker_lost"
    """A worker ended and nobody told it to, or its jobs did; what became of its calls."""
    WORKER_HUNG = "worker_hung"
    """A worker without a call did not answer any more, and was ended."""
    FINDING = "finding"
    """Something is wrong from now on; `subject` is the finding's id."""
    OVER = "over"
    """That finding is over; `lasted_s` says after how long."""
    DRAIN_ORDERED = "drain_ordered"
    """Somebody ordered a worker to hand its calls over and end."""
    STARTS_HELD = "starts_held"
    """Workers were not started although they are wanted."""
    REFUSED_CONTROLLER = "refused_controller"
    CANARY = "canary"
    """A canary was begun, promoted or rolled back."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One line of the log. It holds no personal data: names of workers, dependencies, pools and counts."""

    at_ms: int
    """When it happened, Unix milliseconds of the controller that noticed it."""
    kind: str
    """An `IncidentKind`, or a word of a newer release."""
    text: str
    """What happened, in one line."""
    state: str = "ok"
    """How bad it is, a word of `HealthState`."""
    subject: str = ""
    """What it is about: a worker, a finding, an agent."""
    lasted_s: float | None = None
    """For how long it went on, when it is over; None: a moment, or not over."""
    replica: str = ""
    """The controller that noticed it."""


def distinct(incidents: Iterable[Incident]) -> list[Incident]:
    """Those of `incidents`, the newest first as they are, without what says again what was noted less than `ONCE_IN_S`
    before."""
    found: list[Incident] = []
    last_ms: dict[tuple[str, str], int] = {}
    oldest_first = list(incidents)[::-1]
    for incident in sorted(oldest_first, key=lambda incident: incident.at_ms):
        about = incident.kind, incident.subject
        if incident.at_ms - last_ms.get(about, -(10**15)) >= ONCE_IN_S * 1000:
            last_ms[about] = incident.at_ms
            found.append(incident)
    return found[::-1]
